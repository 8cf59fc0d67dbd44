// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, exclude: exclude, swiftSettings: settings)
}

let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let grdbSQLite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let jwtKit = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let mustache = Target.Dependency.product(name: "Mustache", package: "swift-mustache")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

// In the order of the module map (ARCHITECTURE.md): imports point up this list, never down.
let package = Package(
    name: "mcp-registry-gateway",
    products: [.executable(name: "mreg", targets: ["mreg"])],
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
    ],
    targets: [
        room("Gateway"),
        room("MCP", ["Gateway"]),
        room("Access", ["Gateway", crypto]),
        room("Pacing", ["Gateway"]),
        room("Reports", ["Gateway"]),
        room("Proof", ["Gateway", crypto]),
        room("OAuth", ["Gateway", crypto]),
        room("Discovery", ["Gateway", "MCP"]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        room("Sealing", ["Gateway", "COpenSSL"]),
        // glibc's own, whose module in Swift leaves these out.
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CLMDB", providers: [.apt(["liblmdb-dev"])]),
        room("LMDB", ["CLMDB"]),
        .target(
            name: "Schema", path: "schema", exclude: ["README.md", "current.sql"], resources: [.embedInCode("migrations")], swiftSettings: settings),
        room(
            "Storage",
            [
                "Gateway", "Access", "Pacing", "Reports", "Proof", "OAuth", "Discovery", "LMDB", "Sealing", "Schema", grdb, grdbSQLite, lifecycle,
                logging,
            ]),
        room("Identity", ["Gateway", "MCP", "Pacing", "Reports", "OAuth", jwtKit, crypto, lifecycle, logging]),
        room("Upstreams", ["Gateway", "MCP", "Access", "Pacing", nio, nioPosix, nioHTTP1, nioTLS, nioSSL, subprocess, lifecycle, logging]),
        room("Audit", ["Gateway", lifecycle, logging]),
        // The issuer of evaluation mode: Entra ID as far as the gateway can tell.
        room("FakeEntra", ["Gateway", hummingbird, httpTypes, nio, crypto, cryptoExtras, lifecycle, logging]),
        room("Forwarding", ["Gateway", "MCP", "Access", "Pacing", "Reports", "Identity", "Upstreams", "Audit", nio, lifecycle, logging]),
        .target(
            name: "Serving",
            dependencies: [
                "Gateway", "MCP", "Access", "Pacing", "Reports", "Proof", "OAuth", "Discovery", "Identity", "Audit", "Forwarding", hummingbird,
                hummingbirdCore, httpTypes, nio, nioHTTP1, nioHTTPTypes, crypto, mustache, lifecycle, logging,
            ],
            resources: [.embedInCode("Pages")],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "mreg",
            dependencies: [
                "Gateway", "MCP", "Access", "Pacing", "Reports", "Proof", "OAuth", "Discovery", "Sealing", "Storage", "Identity", "Upstreams",
                "Audit", "CMalloc",
                "FakeEntra", "Forwarding", "Serving", hummingbird, httpTypes, nio, nioPosix, lifecycle, unixSignals, logging, argumentParser,
            ],
            resources: [.embedInCode("Resources/verify.py")],
            swiftSettings: settings
        ),

        // `make bench` runs it; it is part of no product.
        .executableTarget(
            name: "record-benchmark", dependencies: ["Gateway", "Proof", "Storage", "Audit", logging], path: "Benchmarks/Record",
            swiftSettings: settings),
        .executableTarget(
            name: "pacing-benchmark", dependencies: ["Gateway", "Pacing", "Storage"], path: "Benchmarks/Pacing", swiftSettings: settings),
        .executableTarget(
            name: "identity-benchmark", dependencies: ["Gateway", "Access", "Identity", "Storage", "Proof", crypto], path: "Benchmarks/Identity",
            swiftSettings: settings),

        tests("Gateway"),
        tests("MCP", ["Gateway"]),
        tests("Access", ["Gateway", crypto], exclude: ["Golden"]),
        tests("Pacing", ["Gateway"]),
        tests("Reports", ["Gateway"]),
        tests("Proof", ["Gateway", crypto]),
        tests("OAuth", ["Gateway", crypto]),
        tests("Discovery", ["Gateway", "MCP"]),
        tests("Sealing", ["Gateway"]),
        tests("LMDB", ["CLMDB"]),
        tests("Storage", ["Gateway", "Access", "Pacing", "Proof", "OAuth", "Discovery", "Sealing", "Reports", "Schema", grdb, grdbSQLite, logging]),
        tests("Identity", ["Gateway", "MCP", "Pacing", "Reports", "OAuth", jwtKit, crypto, lifecycle, logging], exclude: ["Entra/Fixtures"]),
        tests("Upstreams", ["Gateway", "MCP", "Access", "Pacing", nio, nioPosix, nioEmbedded, nioHTTP1, nioTLS, nioSSL, lifecycle, logging]),
        tests("Audit", ["Gateway", lifecycle, logging]),
        tests("FakeEntra", ["Gateway", hummingbird, nio, nioPosix, nioHTTP1, jwtKit, crypto, lifecycle, logging]),
        tests("Forwarding", ["Gateway", "MCP", "Access", "Identity", "Upstreams", nioPosix, logging]),
        tests("mreg", ["Gateway", "MCP", "Discovery", "Sealing", hummingbird, argumentParser, logging]),
        // The assembled program, on port 0 and a temporary folder.
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "mreg", "Gateway", "MCP", "Access", "Proof", "OAuth", "Forwarding", "Identity", "FakeEntra", "Serving", "Storage", "Upstreams", grdb,
                nio,
                nioPosix,
                nioHTTP1, lifecycle, logging,
            ],
            exclude: ["Golden"],
            swiftSettings: settings),
    ]
)
