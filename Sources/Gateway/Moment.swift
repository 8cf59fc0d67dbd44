/// Now, on both clocks: one for the record, one for permission.
package struct Moment: Hashable, Sendable {
    package let wall: Timestamp
    package let boot: BootInstant

    package init(wall: Timestamp, boot: BootInstant) {
        self.wall = wall
        self.boot = boot
    }
}
