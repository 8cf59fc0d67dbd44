import Gateway
import Pacing
import Testing

@testable import Storage

struct HotKeyTests {
    @Test(
        arguments: [
            .bucket(.global), .bucket(.tenant(TenantID(7))), .bucket(.user(UserID(7))), .bucket(.key(APIKeyID(7))),
            .bucket(.server(TenantID(7), alias: "db")),
            .bucket(.tool(TenantID(7), name: "db__q:x")), .window(TenantID(7)), .quota(.day, TenantID(7)), .quota(.month, TenantID(7)),
            .misdeeds(UserID(7)),
        ] as [HotKey])
    func `what is counted keeps its name in the map and in the record`(key: HotKey) {
        #expect(HotKey(bytes: key.bytes) == key)
        #expect(HotKey(text: key.text) == key)
    }
}
