import Testing

@testable import FakeEntra
