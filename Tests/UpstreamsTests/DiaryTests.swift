import Gateway
import Testing

@testable import Upstreams

struct DiaryTests {
    private func diary(hiding secrets: String...) -> Diary { Diary(of: nil, hiding: secrets, at: Timestamp(microseconds: 0)) }

    @Test func `of much the end is kept, from the beginning of a line on`() {
        let diary = diary()
        let filler = String(repeating: "x", count: 100)
        for line in 0..<1500 { _ = diary.append("line \(filler) \(line)\n".utf8) }
        #expect(diary.text.utf8.count <= Diary.capacity)
        #expect(diary.text.utf8.count > Diary.capacity - 128)
        #expect(diary.text.hasPrefix("line "))
        #expect(diary.text.hasSuffix(" 1499\n"))
    }

    @Test func `what is left of a secret that was cut through is not shown`() {
        let secret = String(repeating: "s", count: 40) + String(repeating: "t", count: 40)
        for offset in [0, 1, 40, 41, 79, 80] {
            let diary = diary(hiding: secret)
            _ = diary.append(String(repeating: secret + " ", count: 1700).utf8)
            _ = diary.append(String(repeating: "x", count: offset).utf8)
            #expect(!diary.text.contains("tttt"))
        }
    }

    @Test func `a secret is hidden however it comes in pieces, and the longest first`() {
        let diary = diary(hiding: "abc", "abcdef", "")
        for byte in "1 abcdef 2 abcx 3 ab".utf8 { _ = diary.append([byte]) }
        #expect(diary.text == "1 [hidden] 2 [hidden]x 3 ab")
    }

    @Test func `lines are told when they are whole, hidden too, and cut when they are long`() {
        let diary = diary(hiding: "secret")
        #expect(diary.append("a sec".utf8) == [])
        #expect(diary.append("ret\nb\nc".utf8) == ["a [hidden]", "b"])
        _ = diary.append(String(repeating: "x", count: 100_000).utf8)
        #expect(diary.append("\n".utf8).first?.utf8.count == 8192)
    }

    @Test func `what a name says is secret is, and what is sealed is`() {
        let secrets = Diary.secrets(
            ["API_KEY": "abcdefg", "Db_Password": "hijklmn", "PIN_TOKEN": "1", "ROOT": "/srv/files"], ["PLAIN": Secret("sealed")])
        #expect(secrets.sorted() == ["abcdefg", "hijklmn", "sealed"])
    }

    @Test func `of eight processes at most it is kept`() {
        let diaries = Diaries()
        for number in 0..<20 { _ = diaries.begin(of: UserID(Int64(number)), hiding: [], at: Timestamp(microseconds: 0)) }
        #expect(diaries.all.map { $0.user?.rawValue } == (12..<20).map { $0 })
    }
}
