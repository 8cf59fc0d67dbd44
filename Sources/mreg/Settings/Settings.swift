import Gateway
import Identity
import Logging

/// What the operator decided, read once at the start; each room is handed the few values it needs.
///
/// The defaults are the ones written here. Names, ranges and meanings stand in `SettingsCatalogue`.
struct Settings: Sendable {
    var stateDirectory = "/var/lib/mcp-registry-gateway"
    var databaseName = "gateway"
    var listener = Listener()
    var pools = Pools()
    var hotState = HotState()
    var limits = Limits()
    var fairness = Fairness()
    var addressGuard = AddressGuard()
    var refresh = Refresh()
    var sessions = Sessions()
    var metrics = Metrics()
    var upstreams = Upstreams()
    var azure = Azure()
    var oidc = OIDC()
    var oauth = OAuth()
    var audit = Audit()
    var log = Log()

    /// Where each value came from that the operator set, by name. What is missing here has its default.
    var sources: [String: SettingSource] = [:]
}

extension Settings {
    struct Listener: Sendable {
        /// An address without brackets, or `localhost`.
        var host = "127.0.0.1"
        var port = 8001
        /// `http://localhost:{bound port}` if there is none.
        var publicOrigin: Origin?
        var tlsCertificateFile: String?
        var tlsKeyFile: String?
        var trustedProxies: [AddressRange] = []
        var allowedOrigins: [Origin] = []

        var isLoopback: Bool { host == "localhost" || AddressRange(host)?.isLoopback == true }
    }

    struct Pools: Sendable {
        struct Pool: Sendable {
            var size: Int
            var timeout: Duration
        }

        var isAdaptive = true
        var isScalingEnabled = true
        var minimumSize = 10
        var maximumSize = 100
        var scalingFactor = 1.5
        var utilizationThreshold = 0.8
        var minimumConnections = 5
        var maximumConnections = 50
        var connectionTimeout = Duration.seconds(30)
        var authentication = Pool(size: 25, timeout: .seconds(10))
        var read = Pool(size: 20, timeout: .seconds(15))
        var write = Pool(size: 15, timeout: .seconds(30))
        var analytics = Pool(size: 10, timeout: .seconds(60))

        /// How many SQLite handles all pools hold together: the larger minimum to the smaller maximum. Where the two
        /// pairs of settings leave nothing between them, the maximum holds.
        var handles: ClosedRange<Int> {
            let most = min(maximumSize, maximumConnections)
            return min(max(minimumSize, minimumConnections), most)...most
        }
    }

    struct HotState: Sendable {
        var readerSlots = 50
        var concurrentReaders = 20
        var bucketsMapBytes = 64 << 20
        var sealingKeyFile: String?
    }

    /// Requests per minute; 0 means unlimited.
    struct Limits: Sendable {
        var admin = 1000
        var serverOwner = 500
        var user = 100
        var anonymous = 20
        var tenantMultiplier = 10
        var global = 10_000
        var burstFactor = 2.0
        var inFlightPerUser = 128
        var inFlightPerServer = 256
        var queuedPerServer = 1024
        var longestQueueWait = Duration.seconds(30)
    }

    struct Fairness: Sendable {
        var isEnabled = true
        var window = Duration.seconds(300)
        var burstAllowance = 1.5
        var slidesWindow = true
    }

    struct AddressGuard: Sendable {
        var isEnabled = true
        var threshold = 1000
        var blocksFor = Duration.seconds(3600)
        var neverBlocked: [AddressRange] = []
    }

    struct Refresh: Sendable {
        var isEnabled = true
        var margin = Duration.seconds(5 * 60)
        var proactive = Duration.seconds(10 * 60)
        var maximumRetries = 4
        var retryIntervals: [Duration] = [.seconds(30), .seconds(60), .seconds(120), .seconds(300)]
    }

    struct Sessions: Sendable {
        var maximumUsers = 500
        var cleanupInterval = Duration.seconds(300)
        var activityTimeout = Duration.seconds(1800)
    }

    struct Metrics: Sendable {
        var exportInterval = Duration.seconds(60)
        var countsUsers = true
        var tracksBehavior = true
        var monitorsTenants = true
    }

    struct Upstreams: Sendable {
        enum ToolChangePolicy: String, Sendable, CaseIterable {
            case hold, report
        }

        enum ExemptIssuer: Hashable, Sendable, CustomStringConvertible {
            /// Entra ID at the configured authority.
            case entra
            case url(String)

            var description: String {
                switch self {
                case .entra: "entra"
                case .url(let url): url
                }
            }
        }

        var allowedPrivate: [AddressRange] = []
        var toolChangePolicy = ToolChangePolicy.hold
        var issuersWithoutPKCEMetadata: [ExemptIssuer] = [.entra]
        var stdioServersFile = "/etc/mcp-registry-gateway/servers.json"
    }

    struct Azure: Sendable {
        var tenantID: String?
        var clientID: String?
        var clientSecret: Secret<String>?
        var authority: String?
        var allowedTenants: [String] = []
    }

    struct OIDC: Sendable {
        var issuer: String?
        var clientID: String?
        var clientSecret: Secret<String>?
        var roleClaim: String?
        var tenantClaim: String?
    }

    struct OAuth: Sendable {
        var callbackURL = "http://localhost:8001/oauth/callback"
        var scopes = ["openid", "profile", "email", "offline_access"]
        /// Who is what, for what the issuer says of them; empty for the issuer's roles of the same names.
        var roleMap: [String] = []
        /// Where clients may publish what they are; empty for anywhere.
        var clientDocumentDomains: [ClientDomain] = []
        var acceptsRegistrations = true
    }

    struct Audit: Sendable {
        enum Durability: String, Sendable, CaseIterable {
            case batched, answered, strict
        }

        var retention = Duration.seconds(90 * 86_400)
        var maximumBytes = 10 << 30
        var durability = Durability.answered
    }

    struct Log: Sendable {
        enum Format: String, Sendable, CaseIterable {
            case text, json
        }

        var level = Logger.Level.info
        var format = Format.text
    }
}
