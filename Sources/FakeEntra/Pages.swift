import Gateway

/// The pages people see: plain HTML that reads on a phone, without a script and without anything from elsewhere.
enum Pages {
    static func accounts(
        _ users: [FakeEntra.Directory.User], of client: FakeEntra.Directory.AppRegistration, request: String, action: String
    ) -> FakeEntra.Reply {
        let buttons = users.map { user in
            let about = user.roles.isEmpty ? "no role" : user.roles.joined(separator: ", ")
            return """
                <button name="user" value="\(escaped(user.id))"><b>\(escaped(user.displayName))</b>\
                <span>\(escaped(user.principalName)) · \(escaped(about))</span></button>
                """
        }
        return page(
            "Pick an account",
            """
            <p>to continue to <b>\(escaped(client.name))</b></p>
            <form method="post" action="\(escaped(action))">
            <input type="hidden" name="request" value="\(escaped(request))">
            \(buttons.joined(separator: "\n"))
            <button name="cancel" value="1" class="quiet">Cancel</button>
            </form>
            <p class="note">This is the issuer of evaluation mode. It asks for no password: whoever reaches it is whoever they pick.</p>
            """)
    }

    static func consent(
        of user: FakeEntra.Directory.User, to client: FakeEntra.Directory.AppRegistration, _ scopes: Scopes, request: String, action: String
    ) -> FakeEntra.Reply {
        let items = (scopes.fullNames + scopes.identity.sorted()).map { "<li>\(escaped($0))</li>" }.joined()
        return page(
            "Permissions requested",
            """
            <p>\(escaped(user.principalName))</p>
            <p><b>\(escaped(client.name))</b> asks for:</p>
            <ul>\(items)</ul>
            <form method="post" action="\(escaped(action))">
            <input type="hidden" name="request" value="\(escaped(request))">
            <button name="consent" value="accept"><b>Accept</b></button>
            <button name="cancel" value="1" class="quiet">Cancel</button>
            </form>
            """)
    }

    static func failure(_ failure: Failure, _ trace: Failure.Trace) -> FakeEntra.Reply {
        page(
            "We could not sign you in",
            """
            <p>AADSTS\(failure.code.rawValue): \(escaped(failure.sentence))</p>
            <p class="note">Request Id: \(escaped(trace.id))<br>Correlation Id: \(escaped(trace.correlation))<br>Timestamp: \(escaped(trace.timestamp))</p>
            """, status: 400)
    }

    static let signedOut = page("You signed out", "<p>You can close this page.</p>")

    private static func page(_ title: String, _ body: String, status: Int = 200) -> FakeEntra.Reply {
        let html = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(escaped(title))</title><style>\(style)</style></head>
            <body><main><h1>\(escaped(title))</h1>
            \(body)
            </main></body></html>
            """
        // No `form-action`: browsers hold it against every redirect that follows, and the last leads to a client nobody knows here.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
        return FakeEntra.Reply(
            status: status,
            headers: [
                ("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy), ("x-frame-options", "DENY"),
                // Not `no-referrer`, with which a form would say that it comes from nowhere.
                ("referrer-policy", "same-origin"),
            ] + FakeEntra.Reply.uncached, body: Array(html.utf8))
    }

    private static let style = """
        :root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0;padding:1.5rem 1rem}main{max-width:26rem;margin:0 auto}\
        h1{font-size:1.4rem;margin:0 0 .5rem}button{display:block;width:100%;min-height:3rem;margin:.5rem 0;padding:.6rem .9rem;text-align:left;\
        font:inherit;border:1px solid #8888;border-radius:.5rem;background:transparent;color:inherit}button span{display:block;font-size:.85rem;\
        overflow-wrap:anywhere}button:hover,button:focus-visible{outline:2px solid currentColor}.quiet{border-color:transparent;text-align:center}\
        .note{font-size:.85rem;overflow-wrap:anywhere}
        """

    static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.withoutControls.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}
