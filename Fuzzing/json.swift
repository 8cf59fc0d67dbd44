// Any bytes: the parser may refuse them, but never trap, and never accept or understand what `StrictJSON` would not.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = Array(UnsafeBufferPointer(start: start, count: count))
    let parsed = try? JSON(parsing: text)
    check(parsed.map { $0.strict } == StrictJSON.read(text), "the second reader disagrees")
    if let parsed {
        checkNodes(parsed.document)
        let again = try? JSON(parsing: parsed.text.bytes)
        check(again?.text == parsed.text && again?.strict == parsed.strict, "read again, the value is another")
        checkReplacing(parsed)
    }

    // Text of our own making holds any string and stays one value.
    let string = String(decoding: text, as: UTF8.self)
    let written = try? JSON(parsing: JSONText.array([.string(string), .object([(string, .number(1))])]).bytes)
    check(written?.elements.count == 2 && written?.elements[0].string?.utf8.elementsEqual(string.utf8) == true, "a string was written wrongly")
    check(written?.elements[1][string]?.integer == 1, "a name was written wrongly")
    return 0
}

private func checkNodes(_ document: JSON.Document) {
    for (index, node) in document.nodes.enumerated() {
        check(node.start < node.end && Int(node.end) <= document.bytes.count, "node \(index) is out of bounds")
        check(index < Int(node.next) && Int(node.next) <= document.nodes.count, "node \(index) has a wrong successor")
        for inner in document.nodes[(index + 1)..<Int(node.next)] {
            check(node.start < inner.start && inner.end < node.end, "node \(index) does not enclose its contents")
        }
        if index > 64 { break }  // Each of many nodes against each of its contents would be quadratic.
    }
}

private func checkReplacing(_ value: JSON) {
    for name in value.members.prefix(16).map(\.name) {
        let changed = try? JSON(parsing: value.replacing([(name, "changed")]).bytes)
        let expected = value.members.map { $0.name.utf8.elementsEqual(name.utf8) ? "changed" : $0.value.text }
        check(changed?.members.map(\.value.text) == expected, "replacing one member changed another")
    }
}

extension JSON {
    fileprivate var strict: StrictJSON.Value {
        switch kind {
        case .object: .object(names: members.map { Array($0.name.utf8) }, values: members.map(\.value.strict))
        case .array: .array(elements.map(\.strict))
        case .string: .string(Array((string ?? "").utf8))
        case .number: .number(text.description)
        case .true, .false, .null: .word(text.description)
        }
    }
}

/// Unlike `precondition`, says what was wrong in an optimised build too.
private func check(_ holds: Bool, _ fault: String) {
    if !holds { fatalError(fault) }
}
