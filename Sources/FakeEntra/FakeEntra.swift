import Gateway

/// The issuer of evaluation mode: a directory with a few users, which behaves as Entra ID does.
package enum FakeEntra {}
