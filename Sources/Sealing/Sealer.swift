import COpenSSL
import Gateway

/// AES-256-GCM by OpenSSL.
package struct Sealer: Sendable {}
