import Gateway
import Testing

@testable import Pacing

struct RefreshScheduleTests {
    let schedule = RefreshSchedule()
    let obtained = Timestamp(microseconds: 1_800_000_000_000_000)
    let boot = BootInstant(nanoseconds: 1_000_000_000_000_000)

    private func life(of user: Int64 = 7, lifetime: Duration = .seconds(3600), age: Duration = .zero, in schedule: RefreshSchedule? = nil)
        -> TokenLife
    {
        let now = Moment(wall: obtained.advanced(by: age), boot: boot)
        return (schedule ?? self.schedule).life(of: UserID(user), obtainedAt: obtained, expiresAt: obtained.advanced(by: lifetime), seenAt: now)
    }

    private func seconds(_ moment: BootInstant) -> Double { Double(moment.nanoseconds - boot.nanoseconds) / 1e9 }

    @Test func `a token of an hour is due ten to fifteen minutes before its expiry`() {
        let life = life()
        #expect(life.expiresAt == boot.advanced(by: .seconds(3600)))
        #expect(life.emergencyAt == boot.advanced(by: .seconds(3300)))
        #expect((2700...3000).contains(seconds(life.dueAt)))
        #expect(schedule.next(for: life, at: boot) == .notYet(until: life.dueAt))
        #expect(schedule.next(for: life, at: life.dueAt) == .due(.proactive))
        #expect(schedule.next(for: life, at: life.emergencyAt.advanced(by: .nanoseconds(-1))) == .due(.proactive))
        #expect(schedule.next(for: life, at: life.emergencyAt) == .due(.emergency))
        #expect(schedule.next(for: life, at: life.expiresAt.advanced(by: .seconds(86_400))) == .due(.emergency))
    }

    @Test func `the same token is due at the same time wherever it is looked at from`() {
        let due = life().dueAt
        for age in [1, 600, 2699] {
            #expect(life(age: .seconds(age)).dueAt == due.advanced(by: .seconds(-age)))
        }
    }

    @Test func `ten thousand tokens of one hour are spread evenly over five minutes`() {
        let dues = (1...10_000).map { seconds(life(of: $0).dueAt) }
        #expect(dues.allSatisfy { (2700...3000).contains($0) })
        let tenths = Dictionary(grouping: dues) { Int(($0 - 2700) / 30) }.mapValues(\.count)
        // Four standard deviations around 1,000.
        #expect(tenths.count == 10 && tenths.values.allSatisfy { (880...1120).contains($0) })
        let perSecond = Dictionary(grouping: dues) { Int($0) }.mapValues(\.count)
        #expect((perSecond.values.max() ?? 0) < 70)
    }

    @Test(arguments: [0, 1, 10, 59, 60, 100, 300, 600, 1199, 1200, 1201, 3600, 5400, 86_400, 7 * 86_400])
    func `whatever its lifetime, a token is due before the margin and not before it was of use`(lifetime: Int) {
        for user in 1...200 as ClosedRange<Int64> {
            let life = life(of: user, lifetime: .seconds(lifetime))
            #expect(life.emergencyAt <= life.expiresAt)
            if lifetime >= 120 {
                #expect(life.dueAt <= life.emergencyAt)
                #expect(seconds(life.dueAt) >= Double(lifetime) * 0.29)
            } else {
                #expect(seconds(life.dueAt) >= 30)
            }
        }
    }

    @Test func `a short life is halved`() {
        let life = life(lifetime: .seconds(600))
        #expect((180...300).contains(seconds(life.dueAt)))
        #expect(seconds(life.emergencyAt) == 450)
    }

    @Test(arguments: [(1, 30), (2, 60), (3, 120), (4, 300)])
    func `each failed refresh waits longer`(failures: Int, wait: Int) {
        let life = life()
        let attempts = RefreshSchedule.Attempts(failures: failures, lastFailedAt: life.dueAt)
        guard case .notYet(let until) = schedule.next(for: life, after: attempts, at: life.dueAt) else {
            Issue.record("it is tried again at once")
            return
        }
        let pause = Double(until.nanoseconds - life.dueAt.nanoseconds) / 1e9
        #expect(pause >= Double(wait) && pause < Double(wait) * 1.1)
        #expect(schedule.next(for: life, after: attempts, at: until) == .due(until < life.emergencyAt ? .proactive : .emergency))
    }

    @Test func `all retries come before the expiry`() {
        for user in 1...1000 as ClosedRange<Int64> {
            let life = life(of: user)
            var now = life.dueAt
            for failures in 1...4 {
                let attempts = RefreshSchedule.Attempts(failures: failures, lastFailedAt: now)
                guard case .notYet(let until) = schedule.next(for: life, after: attempts, at: now) else { continue }
                now = until
            }
            #expect(now < life.expiresAt)
        }
    }

    @Test func `after the fourth retry a token is given up, unless somebody asks for it`() {
        let life = life()
        let attempts = RefreshSchedule.Attempts(failures: 5, lastFailedAt: life.dueAt)
        #expect(schedule.next(for: life, after: attempts, at: life.expiresAt) == .giveUp)
        #expect(schedule.next(for: life, after: attempts, isAsked: true, at: life.dueAt.advanced(by: .seconds(331))) == .due(.proactive))
        guard case .notYet = schedule.next(for: life, after: attempts, isAsked: true, at: life.dueAt.advanced(by: .seconds(299))) else {
            Issue.record("it is tried as often as somebody asks")
            return
        }
    }

    @Test(arguments: [(0, 1), (1, 2), (9, 10)])
    func `as many retries as the settings say, the last pause again and again`(most: Int, failures: Int) {
        let schedule = RefreshSchedule(pauses: [.seconds(5)], mostRetries: most)
        let life = life(in: schedule)
        let last = RefreshSchedule.Attempts(failures: failures, lastFailedAt: life.dueAt)
        #expect(schedule.next(for: life, after: last, at: life.expiresAt) == .giveUp)
        guard failures > 1 else { return }
        let before = RefreshSchedule.Attempts(failures: failures - 1, lastFailedAt: life.dueAt)
        #expect(schedule.next(for: life, after: before, at: life.dueAt.advanced(by: .milliseconds(5500))) == .due(.proactive))
    }

    @Test func `nobody asks an issuer before it may be asked`() {
        let life = life()
        let closed = life.expiresAt.advanced(by: .seconds(60))
        #expect(schedule.next(for: life, closedUntil: closed, at: life.expiresAt) == .notYet(until: closed))
        #expect(schedule.next(for: life, isAsked: true, closedUntil: closed, at: life.expiresAt) == .notYet(until: closed))
        #expect(schedule.next(for: life, closedUntil: closed, at: closed) == .due(.emergency))
    }

    @Test func `who asks need not wait until it is due`() {
        #expect(schedule.next(for: life(), isAsked: true, at: boot) == .due(.proactive))
    }

    @Test(arguments: [.seconds(-61), .seconds(-3600), .seconds(-400 * 86_400)] as [Duration])
    func `a token obtained in the future is refreshed within five minutes, not at once with all others`(age: Duration) {
        let dues = (1...1000).map { seconds(life(of: $0, age: age).dueAt) }
        #expect(dues.allSatisfy { (0...300).contains($0) })
        #expect(dues.count { $0 < 30 } < 150)
    }

    @Test(arguments: [.seconds(3600), .seconds(4000), .seconds(400 * 86_400)] as [Duration])
    func `a token found expired is refreshed within five minutes, not at once with all others`(age: Duration) {
        let dues = (1...1000).map { seconds(life(of: $0, age: age).dueAt) }
        #expect(dues.allSatisfy { (0...300).contains($0) })
        #expect(dues.count { $0 < 30 } < 150)
        #expect(life(age: age).expiresAt <= boot)
    }

    @Test(
        arguments: [
            (Int64.min, Int64.max), (.max, .min), (.min, .min), (.max, .max), (0, .max), (0, .min), (.min, 0), (.max, 0),
        ], [Int64.min, 0, .max])
    func `no moment overflows, and no wait is longer than a week`(times: (obtained: Int64, expires: Int64), now: Int64) {
        let life = schedule.life(
            of: UserID(.min), obtainedAt: Timestamp(microseconds: times.obtained), expiresAt: Timestamp(microseconds: times.expires),
            seenAt: Moment(wall: Timestamp(microseconds: now), boot: boot))
        #expect(life.dueAt <= boot.advanced(by: .seconds(7 * 86_400)))
        #expect(life.expiresAt <= boot.advanced(by: .seconds(7 * 86_400)))
        #expect(life.emergencyAt <= life.expiresAt)
    }

    @Test func `settings out of bounds are brought within them`() {
        let schedule = RefreshSchedule(proactive: .seconds(10), margin: .seconds(300), pauses: [.zero, .seconds(-5)], mostRetries: -3)
        #expect(schedule.proactive == .seconds(300))
        #expect(schedule.pauses == [.seconds(1), .seconds(1)])
        #expect(schedule.mostRetries == 0)
        #expect(RefreshSchedule(pauses: []).pauses == [.seconds(30)])
        let none = RefreshSchedule(proactive: .zero, margin: .zero)
        #expect(life(in: none).emergencyAt == life(in: none).expiresAt)
        #expect(life(lifetime: .zero, in: none).expiresAt == boot)
    }
}

struct IssuerBackoffTests {
    let start = BootInstant(nanoseconds: 1_000_000_000_000)

    private func at(_ seconds: Double) -> BootInstant { start.advanced(by: .seconds(seconds)) }

    @Test func `failures now and then close nothing`() {
        var backoff = IssuerBackoff()
        for round in 0..<1000 {
            #expect(backoff.pass(at: start) == .ordinary)
            if round % 5 == 4 { backoff.answered(.ordinary) } else { backoff.failed(.ordinary, at: start) }
        }
        #expect(backoff.pass(at: start) == .ordinary)
    }

    @Test func `five failures in a row close it, and one request at a time probes it after growing pauses`() {
        var backoff = IssuerBackoff()
        for _ in 0..<5 { backoff.failed(.ordinary, at: start) }
        var now = 0.0
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] as [Double] {
            #expect(backoff.closed(at: at(now)) == at(now + pause))
            #expect(backoff.pass(at: at(now + pause - 0.001)) == nil)
            now += pause
            #expect(backoff.closed(at: at(now)) == nil)
            #expect(backoff.pass(at: at(now)) == .probe)
            #expect(backoff.pass(at: at(now + 1000)) == nil)
            #expect(backoff.closed(at: at(now)) != nil)
            backoff.failed(.probe, at: at(now))
        }
        #expect(backoff.pass(at: at(now + 300)) == .probe)
        backoff.answered(.probe)
        #expect(backoff.isBlank)
        #expect(backoff.pass(at: at(now + 300)) == .ordinary)
    }

    @Test(arguments: [(30, 30), (0, 1), (-5, 1), (3600, 3600), (1_000_000, 3600)])
    func `how long it asks to be left alone it is, up to an hour`(asked: Int, seconds: Int) {
        var backoff = IssuerBackoff()
        backoff.failed(.ordinary, retryAfter: .seconds(asked), at: start)
        #expect(backoff.closed(at: start) == at(Double(seconds)))
    }

    @Test func `what was sent before it closed is no news, unless it asks for more time`() {
        var backoff = IssuerBackoff()
        backoff.failed(.ordinary, retryAfter: .seconds(10), at: start)
        for _ in 0..<9 { backoff.failed(.ordinary, at: at(1)) }
        backoff.answered(.ordinary)
        #expect(backoff.closed(at: at(1)) == at(10))
        backoff.failed(.ordinary, retryAfter: .seconds(20), at: at(2))
        #expect(backoff.closed(at: at(2)) == at(22))
    }

    @Test func `a probe that was not sent leaves its place`() {
        var backoff = IssuerBackoff()
        backoff.failed(.ordinary, retryAfter: .seconds(10), at: start)
        #expect(backoff.pass(at: at(10)) == .probe)
        backoff.returned(.probe)
        #expect(backoff.pass(at: at(10)) == .probe)
    }
}

struct DueQueueTests {
    @Test func `what is due first comes first, equals in their order, and nothing before it is due`() {
        var queue = DueQueue<Int>()
        for (key, due) in [(1, 30), (2, 10), (3, 20), (4, 10)] as [(Int, Int64)] { queue.set(key, dueAt: BootInstant(nanoseconds: due)) }
        queue.set(1, dueAt: BootInstant(nanoseconds: 5))
        #expect(queue.count == 4)
        #expect(queue.take(at: BootInstant(nanoseconds: 4)) == nil)
        #expect((0..<4).map { _ in queue.take(at: BootInstant(nanoseconds: 20)) } == [1, 2, 4, 3])
        #expect(queue.isEmpty && queue.earliest == nil)
    }

    @Test func `it agrees with a sorted list whatever is done to it`() {
        var queue = DueQueue<Int64>()
        var model: [Int64: (due: Int64, number: Int)] = [:]
        var chance = Chance(11)
        var differences = 0
        for number in 0..<50_000 {
            let key = chance.pick(0...200)
            switch chance.pick(0...3) {
            case 0, 1:
                let due = chance.pick(0...100)
                queue.set(key, dueAt: BootInstant(nanoseconds: due))
                model[key] = (due, number)
            case 2:
                queue.remove(key)
                model[key] = nil
            default:
                let now = chance.pick(0...100)
                let first = model.min { ($0.value.due, $0.value.number) < ($1.value.due, $1.value.number) }
                let expected = first.flatMap { $0.value.due <= now ? $0.key : nil }
                if queue.take(at: BootInstant(nanoseconds: now)) != expected { differences += 1 }
                if let expected { model[expected] = nil }
            }
            if queue.count != model.count || queue[key] != model[key].map({ BootInstant(nanoseconds: $0.due) }) { differences += 1 }
        }
        #expect(differences == 0)
    }
}
