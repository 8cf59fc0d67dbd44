import Gateway
import Logging
import OAuth
import Pacing
import Reports
import Synchronization
import Testing

@testable import Identity

extension TokenRefresher {
    fileprivate convenience init(
        _ issuers: FakeIssuers, _ life: FakeIssuers.Life = .init(), schedule: RefreshSchedule = RefreshSchedule(), isBackground: Bool = true,
        capacity: Int = 100_000
    ) {
        self.init(
            schedule: schedule, isBackground: isBackground, capacity: capacity, doors: issuers.doors(of: life), clock: issuers.simulation.clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Runs while the body does, then shuts down.
    fileprivate func running<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.run() }
            let value = try await body()
            stop()
            try await group.waitForAll()
            return value
        }
    }

    /// What a caller gets: the access token, or why there is none.
    fileprivate func answer(_ user: UserID, within limit: Duration = longestWait) async -> Result<String, TokensUnavailable> {
        do { return .success(try await current(user, within: limit).accessToken.revealed) } catch let refusal as TokensUnavailable {
            return .failure(refusal)
        } catch {
            Issue.record(error)
            return .failure(.busy)
        }
    }
}

private let ada = UserID(7)
private let issuer = "https://issuer.example"

private func users(_ count: Int64) -> [UserID] { (1...count).map { UserID($0) } }

struct BackgroundRefreshTests {
    @Test func `ten thousand tokens of one hour stay fresh with an issuer that fails one time in ten`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { .milliseconds(100 + $0 * 37 % 200) })
            // Every tenth request on average: errors, silence, and answers that are lost.
            issuers.fail { request, _ in
                switch UInt64(request) &* 0x9E37_79B9_7F4A_7C15 >> 32 % 30 {
                case 0: .failure(.later(nil))
                case 1: .failure(.unreachable)
                case 2: .lostAnswer
                default: nil
                }
            }
            for user in users(10_000) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers)
            let start = simulation.now.boot.nanoseconds / 60_000_000_000
            let (report, counts) = try await refresher.running {
                await simulation.sleep(for: .seconds(3 * 3600 - 60))
                let (report, counts) = (refresher.report(), issuers.counts)
                // Whoever was given up has to sign in again; nobody gets a token that has expired.
                var refused = 0
                for user in users(10_000) {
                    do {
                        let tokens = try await refresher.current(user)
                        #expect(tokens.expiresAt > simulation.now.wall)
                    } catch TokensUnavailable.signInAgain {
                        refused += 1
                    }
                }
                #expect(refused <= report.counts.givenUp)
                return (report, counts)
            }

            let peaks = (0..<3).map { hour in (0..<60).map { counts.perMinute[start + hour * 60 + $0] ?? 0 }.max() ?? 0 }
            print("requests: \(counts.requests), peak per minute by hour: \(peaks), most in flight: \(counts.mostInFlight)")
            print(report.figures.map { "\($0.name): \($0.value.map { "\($0)" } ?? "-")" }.joined(separator: ", "), report.counts)
            #expect(counts.mostInFlight == [issuer: 10])
            #expect(counts.late == 0)
            // Three rounds, but for the few that are being tried again.
            #expect(report.counts.renewed >= 29_900)
            #expect(try #require(report.successRate.value) >= 0.999)
            #expect(try #require(report.proactiveRatio.value) > 0.8)
            #expect(try #require(report.emergencyRatio.value) < 0.1)
            #expect(try #require(report.averageRetryCount.value) < 1.5)
            #expect(report.standing.tokens == 10_000)
            #expect(issuers.records.count { $0.reason == "retries_exhausted" } == report.counts.givenUp)
            // All of them at once would be 10,000 in the first minute; ten at a time, 3,000.
            #expect(peaks.allSatisfy { $0 < 2600 })

            #expect(!refresher.isBlank)
            for user in users(10_000) { refresher.remove(user) }
            #expect(refresher.isBlank)
        }
    }

    @Test func `a failed refresh is tried again after 30, 60, 120 and 300 seconds, and then given up`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .zero })
            issuers.signIn(ada)
            issuers.fail { _, _ in .failure(.refused(code: "invalid_request")) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3590))
                // Good until it has expired.
                #expect(await refresher.answer(ada) == .success("access 7 100000"))
                await simulation.sleep(for: .seconds(20))
                #expect(await refresher.answer(ada) == .failure(.signInAgain))
                await simulation.sleep(for: .seconds(7200))

                let moments = issuers.counts.moments
                let pauses = zip(moments, moments.dropFirst()).map { ($1.nanoseconds - $0.nanoseconds) / 1_000_000_000 }
                try #require(pauses.count == 4)
                for (pause, seconds) in zip(pauses, [30, 60, 120, 300] as [Int64]) { #expect((seconds...seconds + seconds / 10).contains(pause)) }
                #expect(issuers.records.map(\.reason) == ["retries_exhausted"])
                #expect(refresher.report().counts.givenUp == 1)
                #expect(refresher.report().counts.retries == 4)
                #expect(refresher.report().standing.givenUp == 1)

                // The issuer never refused it for good, so whoever comes later may find it well.
                issuers.fail { _, _ in nil }
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
                #expect(refresher.report().standing.givenUp == 0)
                #expect(issuers.counts.requests == 6)
            }
        }
    }

    @Test func `a token that was given up is tried again only now and then, however often it is asked for`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .zero })
            issuers.signIn(ada)
            issuers.fail { _, _ in .failure(.refused(code: "invalid_request")) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(7200))
                let before = issuers.counts.requests
                for _ in 0..<600 {
                    #expect(await refresher.answer(ada) == .failure(.signInAgain))
                    await simulation.sleep(for: .seconds(1))
                }
                #expect((1...3).contains(issuers.counts.requests - before))
                #expect(issuers.records.count == 1)
            }
        }
    }

    @Test func `an issuer that asks to be left alone is, and then probed by one request`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(1) })
            for user in users(500) { issuers.signIn(user) }
            let until = Mutex(simulation.now.boot)
            // 45 minutes after the start, for seven minutes.
            let (begin, end) = (simulation.now.boot.advanced(by: .seconds(2700)), simulation.now.boot.advanced(by: .seconds(3120)))
            issuers.fail { _, _ in
                let now = simulation.now.boot
                until.withLock { $0 = max($0, now) }
                return now >= begin && now < end ? .failure(.later(.seconds(120))) : nil
            }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3700))
                let moments = issuers.counts.moments.filter { $0 >= begin && $0 < end.advanced(by: .seconds(100)) }
                // The first fills up to ten places before the first answer; then there is one every two minutes.
                let first = try #require(moments.first)
                let refused = moments.filter { $0 < end }
                let early = refused.filter { $0 <= first.advanced(by: .seconds(1)) }
                #expect(early.count <= 10)
                #expect((2...4).contains(refused.count - early.count))
                for (one, next) in zip(refused.dropFirst(early.count), refused.dropFirst(early.count + 1)) {
                    #expect(next >= one.advanced(by: .seconds(120)))
                }
                #expect(issuers.counts.late == 0)
                #expect(refresher.report().counts.renewed == 500)
                #expect(refresher.report().counts.givenUp == 0)
            }
        }
    }

    @Test func `an issuer that is away for hours costs nobody a sign-in, and is asked seldom`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(200) { issuers.signIn(user) }
            let end = simulation.now.boot.advanced(by: .seconds(4 * 3600))
            issuers.fail { _, _ in simulation.now.boot < end ? .failure(.unreachable) : nil }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(4 * 3600))
                #expect(issuers.counts.requests < 100)
                #expect(try #require(refresher.report().standing.issuers.first?.closedUntil) > simulation.now.wall.advanced(by: .seconds(-1)))
                guard case .failure(.later(let wait)) = await refresher.answer(UserID(1)) else {
                    Issue.record("an expired token was given out, or its user sent away")
                    return
                }
                #expect(wait > .zero && wait <= .seconds(600))
                await simulation.sleep(for: .seconds(900))
                for user in users(200) { _ = try await refresher.current(user).accessToken }
                #expect(refresher.report().counts.renewed == 200)
                #expect(refresher.report().counts.givenUp == 0)
                #expect(issuers.records.isEmpty)
            }
        }
    }

    @Test func `an issuer that is away holds up no other`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(100) { issuers.signIn(user, at: user.rawValue.isMultiple(of: 2) ? "https://even.example" : "https://odd.example") }
            issuers.fail { _, user in user.rawValue.isMultiple(of: 2) ? .failure(.later(.seconds(600))) : nil }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3500))
                let report = refresher.report()
                #expect(report.counts.renewed == 50)
                #expect(report.proactiveRatio.value == 1)
                #expect(report.standing.issuers.map { $0.closedUntil != nil } == [true, false])
            }
        }
    }

    @Test func `a gateway the issuer does not know any more forgets nobody`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(50) { issuers.signIn(user) }
            issuers.fail { _, _ in .failure(.refused(code: "invalid_client")) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(7200))
                #expect(issuers.counts.requests < 40)
                #expect(users(50).allSatisfy { issuers.stored($0) != nil })
                issuers.fail { _, _ in nil }
                await simulation.sleep(for: .seconds(900))
                #expect(refresher.report().counts.renewed == 50)
                #expect(issuers.records.isEmpty)
            }
        }
    }

    @Test(arguments: [.seconds(60), .seconds(300), .seconds(1199), .seconds(1200), .seconds(4000), .seconds(90 * 86_400)] as [Duration])
    func `tokens of any lifetime are refreshed before they expire, and not all the time`(lifetime: Duration) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, lifetime: lifetime)
            for user in users(20) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                let time = min(lifetime * 20, .seconds(15 * 86_400))
                await simulation.sleep(for: time)
                #expect(issuers.counts.late == 0)
                let perLife = Double(issuers.counts.requests) / 20 / (time / min(lifetime, .seconds(7 * 86_400)))
                #expect(perLife >= 0.9 && perLife <= 3)
            }
        }
    }

    @Test func `tokens that never live are not asked for all the time`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, lifetime: .zero)
            issuers.signIn(ada)
            let refresher = TokenRefresher(issuers)
            try await refresher.running { await simulation.sleep(for: .seconds(3600)) }
            #expect((60...121).contains(issuers.counts.requests))
        }
    }

    @Test func `without the background only what is asked for is refreshed`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(100) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers, isBackground: false)
            try await refresher.running {
                await simulation.sleep(for: .seconds(4000))
                #expect(issuers.counts.requests == 0)
                #expect(await refresher.answer(UserID(3)) == .success("access 3 300001"))
                #expect(issuers.counts.requests == 1)
                #expect(refresher.report().counts.late == 1)
            }
        }
    }

    @Test func `what is more than can be kept fresh is good until it expires`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(100) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers, capacity: 60)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3590))
                #expect(refresher.report().standing.tokens == 60)
                #expect(await refresher.answer(UserID(100)) == .success("access 100 10000000"))
                await simulation.sleep(for: .seconds(20))
                #expect(await refresher.answer(UserID(100)) == .failure(.busy))
                #expect(issuers.counts.requests == 60)
            }
        }
    }
}

struct AskedRefreshTests {
    @Test func `five hundred callers of one expired token cause one refresh`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(3) })
            issuers.signIn(ada)
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                let answers = await withTaskGroup(of: Result<String, TokensUnavailable>.self) { group in
                    for number in 0..<500 {
                        group.addTask {
                            await simulation.sleep(for: .milliseconds(number * 10))
                            return await refresher.answer(ada)
                        }
                    }
                    return await group.reduce(into: Set()) { $0.insert($1) }
                }
                #expect(answers == [.success("access 7 100001")])
                #expect(issuers.counts.requests == 1)
                #expect(refresher.report().standing.waiting == 0)
            }
        }
    }

    @Test func `five hundred callers of a token that cannot be refreshed cause one attempt`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(3) })
            issuers.signIn(ada)
            issuers.fail { _, _ in .failure(.unreachable) }
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                let refusals = await withTaskGroup(of: Bool.self) { group in
                    for number in 0..<500 {
                        group.addTask {
                            await simulation.sleep(for: .milliseconds(number * 10))
                            return if case .failure(.later) = await refresher.answer(ada) { true } else { false }
                        }
                    }
                    return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(refusals == 500)
                #expect(issuers.counts.requests == 1)
            }
        }
    }

    @Test func `who comes within the margin gets a new token, or the old one if there is none to be had`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            issuers.signIn(ada)
            let refresher = TokenRefresher(issuers, isBackground: false)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3290))
                #expect(await refresher.answer(ada) == .success("access 7 100000"))
                #expect(issuers.counts.requests == 0)
                await simulation.sleep(for: .seconds(20))
                issuers.fail { _, _ in .failure(.unreachable) }
                #expect(await refresher.answer(ada) == .success("access 7 100000"))
                #expect(await refresher.answer(ada) == .success("access 7 100000"))
                #expect(issuers.counts.requests == 1)
                issuers.fail { _, _ in nil }
                await simulation.sleep(for: .seconds(40))
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
                #expect(refresher.report().counts.emergency == 1)
            }
        }
    }

    @Test func `a caller waits as long as it said, and the refresh goes on`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(20) })
            issuers.signIn(ada)
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                let start = simulation.now.boot
                #expect(await refresher.answer(ada, within: .seconds(3)) == .failure(.timedOut))
                #expect(simulation.now.boot == start.advanced(by: .seconds(3)))
                #expect(refresher.report().standing.waiting == 0)
                await simulation.sleep(for: .seconds(30))
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
                #expect(issuers.counts.requests == 1)
            }
        }
    }

    @Test func `an issuer that never answers is given up after half a minute`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { $0 == 1 ? .seconds(1_000_000) : .seconds(1) })
            issuers.signIn(ada)
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                #expect(await refresher.answer(ada, within: .seconds(60)) == .failure(.later(.seconds(30))) || issuers.counts.requests == 1)
                await simulation.sleep(for: .seconds(60))
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
            }
        }
    }

    @Test func `a caller that goes away leaves nothing behind`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(5) })
            issuers.signIn(ada)
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await #expect(throws: CancellationError.self) { try await refresher.current(ada) } }
                    await simulation.sleep(for: .seconds(1))
                    #expect(refresher.report().standing.waiting == 1)
                    group.cancelAll()
                }
                #expect(refresher.report().standing.waiting == 0)
                await simulation.sleep(for: .seconds(10))
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
                #expect(issuers.counts.requests == 1)
            }
        }
    }

    @Test func `who is not signed in, and whose token cannot be refreshed, has to sign in again`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            issuers.signIn(ada, canRefresh: false)
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                #expect(await refresher.answer(UserID(9)) == .failure(.signInAgain))
                #expect(await refresher.force(UserID(9)) == .failed(.signInAgain))
                await simulation.sleep(for: .seconds(3599))
                #expect(await refresher.answer(ada) == .success("access 7 100000"))
                #expect(await refresher.force(ada) == .failed(.signInAgain))
                await simulation.sleep(for: .seconds(1))
                #expect(await refresher.answer(ada) == .failure(.signInAgain))
                #expect(issuers.counts.requests == 0)
            }
        }
    }

    @Test func `an administrator's refresh is done at once, once, and says what came of it`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(2) })
            issuers.signIn(ada)
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await withTaskGroup(of: ForcedRefresh.self) { group in
                    for _ in 0..<20 { group.addTask { await refresher.force(ada) } }
                    let expiry = simulation.now.wall + .seconds(3602)
                    for await result in group { #expect(result == .renewed(expiresAt: expiry)) }
                }
                #expect(issuers.counts.requests == 1)

                issuers.fail { _, _ in .failure(.later(.seconds(50))) }
                #expect(await refresher.force(ada) == .failed(.later(.seconds(50))))
                #expect(await refresher.force(ada) == .failed(.later(.seconds(50))))
                #expect(issuers.counts.requests == 2)
                #expect(await refresher.answer(ada) == .success("access 7 100001"))

                await simulation.sleep(for: .seconds(50))
                issuers.fail { _, _ in .failure(.refused(code: "invalid_request")) }
                guard case .failed(.later) = await refresher.force(ada) else {
                    Issue.record("a failure was told otherwise")
                    return
                }
                // Within the pause after a failure of the token's own.
                issuers.fail { _, _ in nil }
                #expect(await refresher.force(ada) == .renewed(expiresAt: simulation.now.wall + .seconds(3600)))
                #expect(issuers.counts.requests == 4)
            }
        }
    }
}

struct RefusedRefreshTests {
    @Test func `a refresh token that was refused is forgotten, and recorded once`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(3) { issuers.signIn(user) }
            issuers.fail { _, user in user == UserID(2) ? .failure(.refused(code: "invalid_grant")) : nil }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3590))
                #expect(issuers.stored(UserID(2)) == nil)
                #expect(await refresher.answer(UserID(2)) == .failure(.signInAgain))
                #expect(await refresher.answer(UserID(3)) == .success("access 3 300001"))
                await simulation.sleep(for: .seconds(7200))
                #expect(issuers.counts.requestsOf[UserID(2)] == 1)
                let records = issuers.records
                #expect(records.map(\.reason) == ["invalid_grant"])
                #expect(records.first?.user == UserID(2))
                #expect(records.first?.target == issuer)
                let report = refresher.report()
                #expect(report.counts.refused == 1)
                #expect(report.standing.tokens == 2)
                #expect(report.standing.issuers.first?.failuresInRow == 0)
                #expect(issuers.openIntents == 0)
            }
        }
    }

    @Test(arguments: [FakeIssuers.Step.record, .forget])
    func `a refusal that cannot be written down is tried again, and not sent again`(step: FakeIssuers.Step) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            issuers.signIn(ada)
            issuers.fail { _, _ in .failure(.refused(code: "invalid_grant")) }
            issuers.breakDoors { $0 == step && $1 < 5 }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                #expect(await refresher.force(ada) == .failed(.signInAgain))
                #expect(issuers.stored(ada) != nil)
                #expect(await refresher.answer(ada) == .failure(.signInAgain))
                #expect(refresher.report().standing.unstored == 1)
                await simulation.sleep(for: .seconds(60))
                #expect(issuers.stored(ada) == nil)
                #expect(issuers.records.count == 1)
                #expect(issuers.counts.requests == 1)
                #expect(refresher.isBlank)
            }
        }
    }

    @Test func `who signs in while their refresh is refused keeps what they got`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(2) })
            issuers.signIn(ada)
            issuers.fail { _, _ in .failure(.refused(code: "invalid_grant")) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                async let forced = refresher.force(ada)
                await simulation.sleep(for: .seconds(1))
                let tokens = issuers.signIn(ada)
                refresher.add(ada, tokens)
                #expect(await forced == .renewed(expiresAt: tokens.expiresAt))
                await simulation.sleep(for: .seconds(10))
                #expect(await refresher.answer(ada) == .success("access 7 200000"))
                #expect(refresher.report().counts.refused == 0)
            }
        }
    }

    @Test(arguments: [false, true])
    func `who signs in while their token is refreshed keeps what they got`(isTold: Bool) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(2) })
            issuers.signIn(ada)
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                async let forced = refresher.force(ada)
                await simulation.sleep(for: .seconds(1))
                let tokens = issuers.signIn(ada)
                if isTold { refresher.add(ada, tokens) }
                _ = await forced
                #expect(await refresher.answer(ada) == .success("access 7 200000"))
                await simulation.sleep(for: .seconds(3590))
                #expect(issuers.counts.late == 0)
                #expect(await refresher.answer(ada) == .success("access 7 200001"))
            }
        }
    }

    @Test(arguments: [false, true])
    func `who signs out while their token is refreshed stays signed out`(isTold: Bool) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(2) })
            issuers.signIn(ada)
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                async let forced = refresher.force(ada)
                await simulation.sleep(for: .seconds(1))
                issuers.signOut(ada)
                if isTold { refresher.remove(ada) }
                #expect(await forced == .failed(.signInAgain))
                await simulation.sleep(for: .seconds(5))
                #expect(issuers.stored(ada) == nil)
                #expect(refresher.isBlank)
            }
        }
    }
}

struct CrashedRefreshTests {
    /// Kills a gateway at a step, starts another over the same store, and lets it run for two hours.
    private func survivors(of step: FakeIssuers.Step, grace: Duration?, _ simulation: Simulation) async throws -> (FakeIssuers, Int) {
        let issuers = FakeIssuers(simulation, grace: grace, latency: { .milliseconds(150 + $0 * 61 % 100) })
        for user in users(200) { issuers.signIn(user) }
        let life = FakeIssuers.Life()
        issuers.crash(at: step, time: 50)
        let first = TokenRefresher(issuers, life)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await first.run() }
            while !life.isOver { await simulation.sleep(for: .seconds(1)) }
            group.cancelAll()
        }
        let second = TokenRefresher(issuers)
        return try await second.running {
            // Started within seconds, as systemd does.
            await simulation.sleep(for: .seconds(5))
            #expect(issuers.openIntents == 0)
            await simulation.sleep(for: .seconds(7200))
            var lost = 0
            for user in users(200) {
                switch await second.answer(user) {
                case .success: #expect(issuers.isGood(user))
                case .failure(let refusal):
                    #expect(refusal == .signInAgain)
                    lost += 1
                }
            }
            return (issuers, lost)
        }
    }

    @Test(arguments: [.load, .begin, .begun, .request, .answer, .finish, .finished] as [FakeIssuers.Step], [nil, .seconds(30)] as [Duration?])
    func `a crash at any step loses nobody whose issuer is patient`(step: FakeIssuers.Step, grace: Duration?) async throws {
        try await Simulation.run { simulation in
            let (issuers, lost) = try await survivors(of: step, grace: grace, simulation)
            #expect(lost == 0)
            #expect(issuers.records.isEmpty)
            #expect(issuers.counts.late == 0)
        }
    }

    @Test(arguments: [FakeIssuers.Step.answer, .finish])
    func `a crash between use and save costs a sign-in where the issuer has no patience, and the record says why`(step: FakeIssuers.Step) async throws
    {
        try await Simulation.run { simulation in
            let (issuers, lost) = try await survivors(of: step, grace: .zero, simulation)
            // As many as were under way at most.
            #expect((1...10).contains(lost))
            #expect(issuers.records.count == lost)
            #expect(issuers.records.allSatisfy { $0.reason == "invalid_grant (an earlier answer may have been lost)" })
        }
    }

    @Test func `an answer that cannot be stored is used, stored later, and not asked for again`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, grace: .zero)
            issuers.signIn(ada)
            issuers.breakDoors { step, time in step == .finish && time <= 20 }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3000))
                #expect(await refresher.answer(ada) == .success("access 7 100001"))
                #expect(issuers.stored(ada)?.accessToken.revealed == "access 7 100000")
                #expect(refresher.report().standing.unstored == 1)
                #expect(issuers.counts.requests == 1)
                await simulation.sleep(for: .seconds(600))
                #expect(issuers.stored(ada)?.accessToken.revealed == "access 7 100001")
                #expect(refresher.report().standing.unstored == 0)
                await simulation.sleep(for: .seconds(3600))
                #expect(await refresher.answer(ada) == .success("access 7 100002"))
                #expect(issuers.counts.requests == 2)
                #expect(issuers.records.isEmpty)
            }
        }
    }

    @Test func `a store that takes nothing lets no refresh token be used, and is not asked all the time`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(1000) { issuers.signIn(user) }
            let end = simulation.now.boot.advanced(by: .seconds(3480))
            issuers.breakDoors { step, _ in step == .begin && simulation.now.boot < end }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3480))
                #expect(issuers.counts.requests == 0)
                #expect((issuers.counts.steps[.begin] ?? 0) < 400)
                #expect(await refresher.answer(UserID(5)) == .success("access 5 500000"))
                await simulation.sleep(for: .seconds(100))
                #expect(refresher.report().counts.renewed == 1000)
                #expect(issuers.counts.late == 0)
            }
        }
    }

    @Test func `answers that cannot be stored are few, for no more are asked for`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(1000) { issuers.signIn(user) }
            issuers.breakDoors { step, _ in step == .finish }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(3590))
                #expect((100...110).contains(refresher.report().standing.unstored))
                #expect((100...110).contains(issuers.counts.requests))
                issuers.breakDoors { _, _ in false }
                await simulation.sleep(for: .seconds(120))
                #expect(refresher.report().counts.renewed == 1000)
            }
        }
    }
}

struct RefreshClockTests {
    @Test(arguments: [.seconds(86_400), .seconds(-86_400), .seconds(3000), .seconds(-3000)] as [Duration])
    func `a wall clock that is set refreshes nothing sooner and nothing later`(jump: Duration) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(1000) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(600))
                simulation.setWall(ahead: jump)
                await simulation.sleep(for: .seconds(2000))
                for user in users(1000) { _ = try await refresher.current(user) }
                #expect(issuers.counts.requests == 0)
                await simulation.sleep(for: .seconds(990))
                #expect(issuers.counts.requests == 1000)
                #expect(refresher.report().counts.proactive == 1000)
            }
        }
    }

    /// The clock goes wrong while nobody looks, and the gateway starts.
    @Test(arguments: [.seconds(30 * 86_400), .seconds(-30 * 86_400), .seconds(3600), .seconds(-3600)] as [Duration])
    func `after a start with another clock all is refreshed soon, and not at once`(jump: Duration) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(1000) { issuers.signIn(user) }
            simulation.setWall(ahead: jump)
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(360))
                let counts = issuers.counts
                #expect(counts.requests == 1000)
                #expect((counts.perMinute.values.max() ?? 0) < 300)
                await simulation.sleep(for: .seconds(1800))
                #expect(issuers.counts.requests == 1000)
            }
        }
    }

    @Test func `after the machine has slept all is refreshed once, ten at a time`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation)
            for user in users(1000) { issuers.signIn(user) }
            let refresher = TokenRefresher(issuers)
            try await refresher.running {
                await simulation.sleep(for: .seconds(60))
                simulation.suspend(for: .seconds(3 * 3600))
                await simulation.sleep(for: .seconds(60))
                #expect(issuers.counts.requests == 1000)
                #expect(issuers.counts.mostInFlight == [issuer: 10])
            }
        }
    }
}

struct RefreshShutdownTests {
    @Test func `shutdown waits for what is under way and stores it; callers are sent away`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { _ in .seconds(3) })
            for user in users(30) { issuers.signIn(user) }
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await refresher.run() }
                group.addTask {
                    await withTaskGroup(of: Void.self) { callers in
                        for user in users(30) {
                            callers.addTask { #expect(await refresher.answer(user) == .failure(.stopping)) }
                        }
                    }
                }
                await simulation.sleep(for: .seconds(1))
                let start = simulation.now.boot
                refresher.stop()
                try await group.waitForAll()
                #expect(simulation.now.boot == start.advanced(by: .seconds(2)))
            }
            #expect(issuers.counts.requests == 10)
            #expect(issuers.openIntents == 0)
            #expect(users(30).count { issuers.stored($0)?.accessToken.revealed.hasSuffix("1") == true } == 10)
            #expect(await refresher.answer(UserID(20)) == .failure(.stopping))
        }
    }

    @Test(arguments: [false, true])
    func `what is under way for too long is cancelled, awaited, and taken up by the next`(isCancelled: Bool) async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, latency: { $0 <= 10 ? .seconds(25) : .milliseconds(200) })
            for user in users(30) { issuers.signIn(user) }
            simulation.suspend(for: .seconds(4000))
            let refresher = TokenRefresher(issuers)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await refresher.run() }
                for user in users(30) { group.addTask { _ = await refresher.force(user) } }
                await simulation.sleep(for: .seconds(1))
                let start = simulation.now.boot
                if isCancelled { group.cancelAll() } else { refresher.stop() }
                await group.waitForAll()
                #expect(simulation.now.boot == start.advanced(by: isCancelled ? .zero : .seconds(5)))
            }
            #expect(issuers.openIntents == 10)
            #expect(issuers.counts.inFlight == [issuer: 0])
            #expect(refresher.report().counts.ended == 0)

            let next = TokenRefresher(issuers)
            try await next.running {
                await simulation.sleep(for: .seconds(1))
                #expect(issuers.openIntents == 0)
                await simulation.sleep(for: .seconds(400))
                #expect(users(30).allSatisfy { issuers.isGood($0) })
                #expect(next.report().counts.renewed == 30)
            }
        }
    }

    @Test func `an answer that came is stored at shutdown even if the store takes its time`() async throws {
        try await Simulation.run { simulation in
            let issuers = FakeIssuers(simulation, grace: .zero)
            issuers.signIn(ada)
            issuers.breakDoors { step, time in step == .finish && time <= 2 }
            let refresher = TokenRefresher(issuers)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await refresher.run() }
                if case .failed = await refresher.force(ada) { Issue.record("the issuer answered") }
                refresher.stop()
                try await group.waitForAll()
            }
            #expect(issuers.stored(ada)?.accessToken.revealed == "access 7 100001")
        }
    }
}

/// On all the machine's threads, in no particular order.
struct ConcurrentRefreshTests {
    private struct Store {
        var tokens: [UserID: IssuerTokens] = [:]
        var intents: [UserID: RefreshIntent] = [:]
        var refreshes: [UserID: Int] = [:]
    }

    private static func tokens(_ name: String, until expiresAt: Timestamp, obtainedAt: Timestamp) -> IssuerTokens {
        IssuerTokens(
            accessToken: Secret(name), refreshToken: Secret("refresh"), scope: "", expiresAt: expiresAt, obtainedAt: obtainedAt, issuer: issuer)
    }

    @Test func `two thousand callers of a hundred expired tokens cause a hundred refreshes`() async throws {
        let store = Mutex(Store())
        for user in users(100) {
            store.withLock { $0.tokens[user] = Self.tokens("old", until: .now, obtainedAt: .now + .seconds(-3600)) }
        }
        let start = ContinuousClock.now
        let clock = RefreshClock.system {
            let passed = ContinuousClock.now - start
            return Moment(wall: .now + .seconds(60) + passed, boot: BootInstant(nanoseconds: 1_000_000_000_000).advanced(by: passed))
        }
        let doors = RefreshDoors(
            refresh: { user, _ throws(RefreshFailure) in
                store.withLock { $0.refreshes[user, default: 0] += 1 }
                for _ in 0..<20 { await Task.yield() }
                let now = clock.now().wall
                return Self.tokens("new", until: now + .seconds(3600), obtainedAt: now)
            },
            load: { user in store.withLock { $0.tokens[user] } },
            begin: { user, intent in
                store.withLock { store in
                    store.intents[user] = intent
                    return store.tokens[user]
                }
            },
            finish: { user, tokens, intent in
                store.withLock { store in
                    guard store.intents.removeValue(forKey: user) == intent else { return false }
                    store.tokens[user] = tokens
                    return true
                }
            },
            forget: { _, _ in false }, all: { _, _ in [] }, record: { _ in })
        let refresher = TokenRefresher(
            schedule: RefreshSchedule(), doors: doors, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let answers = try await refresher.running {
            await withTaskGroup(of: Result<String, TokensUnavailable>.self) { group in
                for number in 0..<2000 { group.addTask { await refresher.answer(UserID(Int64(number % 100) + 1), within: .seconds(600)) } }
                return await group.reduce(into: Set()) { $0.insert($1) }
            }
        }
        #expect(answers == [.success("new")])
        #expect(store.withLock { $0.refreshes.count } == 100)
        #expect(store.withLock { $0.refreshes.values.allSatisfy { $0 == 1 } })
        #expect(store.withLock { $0.intents.isEmpty })
    }
}
