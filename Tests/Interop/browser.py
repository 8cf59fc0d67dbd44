"""A browser without a window: what a person's would send and refuse, one request after the other.

It keeps cookies with the rules that matter here (the `__Host-` prefix, `SameSite`; plain http on loopback counts as
secure), says where a request comes from (`Origin`, `Sec-Fetch-*`), and holds a page's `form-action` against each
redirect that follows a form, as Chromium does. It runs no scripts. Two of them share nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx2

from processes import DEADLINE

MOST_REDIRECTS = 12
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
Fields = list[tuple[str, str]]
Until = str | Callable[[str], bool] | None
"""Before which address the browser stops: one that begins so, or of which this is true."""


class Blocked(Exception):
    """A browser would not go on here; a person would see its message, or an empty page."""


@dataclass(frozen=True)
class Button:
    name: str
    value: str
    label: str


@dataclass
class Form:
    """A form of a page, with what it sends if nobody changes anything."""

    method: str
    action: str
    fields: Fields = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.fields} | {button.name for button in self.buttons}

    def button(self, text: str) -> Button | None:
        """The button with this value or label."""
        return next((button for button in self.buttons if text in (button.value, button.label)), None)


@dataclass(frozen=True)
class Navigation:
    """A request that is about to be sent, with what led to it."""

    method: str
    url: str
    fields: Fields | None
    origin: str | None
    page: "Page | None" = None  # whose link or form it was; None if a person typed the address
    chain: tuple[str, ...] = ()  # what it passed since then
    form_action: "Directive | None" = None


@dataclass(frozen=True)
class Page:
    """Where the browser is. One it stopped before has no response, and `go_on` goes there."""

    url: str
    response: httpx2.Response | None = None
    ahead: Navigation | None = None

    @property
    def is_ahead(self) -> bool:
        return self.response is None

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status_code

    @property
    def text(self) -> str:
        return "" if self.response is None else self.response.text

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.response is None else self.response.headers

    @property
    def forms(self) -> list[Form]:
        reader = FormReader(self.url)
        reader.feed(self.text)
        reader.close()
        return reader.forms

    def form_with(self, button: str) -> Form:
        """The form whose button has this value or label."""
        found = next((form for form in self.forms if form.button(button)), None)
        assert found, f"no form with a button “{button}” at {self.url} ({self.status}):\n{self.text[:4000]}"
        return found


class FormReader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._button: dict[str, str] | None = None
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = attributes.get("method", "get").upper()
            self._form = Form(method, urljoin(self.url, attributes.get("action") or self.url))
            self.forms.append(self._form)
        elif self._form is None or "disabled" in attributes:
            return
        elif tag == "button" and attributes.get("type", "submit") == "submit":
            self._button, self._label = attributes, ""
        elif tag == "input":
            self._read_input(self._form, attributes)

    def _read_input(self, form: Form, attributes: dict[str, str]) -> None:
        kind, name, value = attributes.get("type", "text"), attributes.get("name", ""), attributes.get("value", "")
        if kind in ("submit", "image"):
            form.buttons.append(Button(name, value, value))
        elif kind in ("checkbox", "radio"):
            if "checked" in attributes:
                form.fields.append((name, value or "on"))
        elif name and kind != "button":
            form.fields.append((name, value))

    def handle_data(self, data: str) -> None:
        self._label += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "button" and self._button is not None and self._form is not None:
            name, value = self._button.get("name", ""), self._button.get("value", "")
            self._form.buttons.append(Button(name, value, " ".join(self._label.split())))
            self._button = None


@dataclass
class Cookie:
    name: str
    value: str
    host: str
    attributes: dict[str, str]  # names in lower case

    @classmethod
    def parse(cls, header: str, host: str) -> "Cookie":
        pair, *attributes = (part.strip() for part in header.split(";"))
        name, _, value = pair.partition("=")
        parsed = (attribute.partition("=") for attribute in attributes)
        return cls(name, value, host, {key.strip().lower(): value.strip() for key, _, value in parsed})

    @property
    def path(self) -> str:
        return self.attributes.get("path") or "/"

    @property
    def same_site(self) -> str:
        return self.attributes.get("samesite", "lax").lower()

    @property
    def is_over(self) -> bool:
        return self.attributes.get("max-age", "1").lstrip("0") in ("", "-1") or "1970" in self.attributes.get("expires", "")

    @property
    def is_acceptable(self) -> bool:
        if self.name.startswith("__Secure-"):
            return "secure" in self.attributes
        if self.name.startswith("__Host-"):
            return "secure" in self.attributes and self.attributes.get("path") == "/" and "domain" not in self.attributes
        return True

    def goes_to(self, url: str, *, method: str, is_cross_site: bool) -> bool:
        target = urlsplit(url)
        is_below = target.path == self.path or target.path.startswith(self.path.rstrip("/") + "/")
        is_secure = target.scheme == "https" or target.hostname in LOOPBACK
        is_allowed = not is_cross_site or self.same_site == "none" or (self.same_site == "lax" and method == "GET")
        return target.hostname == self.host and is_below and is_allowed and (is_secure or "secure" not in self.attributes)


@dataclass(frozen=True)
class Directive:
    """A source list of a content security policy."""

    sources: tuple[str, ...]

    @classmethod
    def of(cls, page: "Page", name: str) -> "Directive | None":
        for policy in page.headers.get("Content-Security-Policy", "").split(";"):
            directive, *sources = policy.split()[:1] or [""], *policy.split()[1:]
            if directive == [name]:
                return cls(tuple(sources))
        return None

    def allows(self, url: str, page: str) -> bool:
        return any(self._matches(source, url, page) for source in self.sources)

    @staticmethod
    def _matches(source: str, url: str, page: str) -> bool:
        target = urlsplit(url)
        if source == "'self'":
            return origin_of(url) == origin_of(page)
        if source.endswith(":"):
            return target.scheme == source[:-1]
        if source == "*":
            return target.scheme in ("http", "https")
        parts = re.fullmatch(r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[^:/*]+|\[[^]]+])(?::(\d+|\*))?(/.*)?", source)
        if parts is None:
            return False
        scheme, host, port, _ = parts.groups()  # paths do not count after a redirect
        usual = {"http": 80, "https": 443}.get(target.scheme)
        is_host = host == "*" or host == target.hostname or (host[:2] == "*." and (target.hostname or "").endswith(host[1:]))
        is_port = port == "*" or (target.port or usual) == (int(port) if port else usual)
        return is_host and is_port and scheme in (None, target.scheme)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def site_of(url: str) -> str:
    """Scheme and host: ports do not make another site. None of the hosts here have subdomains."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


class Browser:
    """Use as a context manager. Everything it was answered stays in `responses`."""

    def __init__(self) -> None:
        self.responses: list[httpx2.Response] = []
        self.cookies: dict[tuple[str, str, str], Cookie] = {}
        self.refused_cookies: list[str] = []
        self._http = httpx2.Client(timeout=DEADLINE, follow_redirects=False, trust_env=False)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, url: str, *, until: Until = None, come_from: Page | None = None) -> Page:
        """Goes to an address and wherever it leads.

        Typed by a person, unless it is a link of a page.
        """
        chain = () if come_from is None else (come_from.url,)
        return self._go(Navigation("GET", url, None, None, come_from, chain), until)

    def go_on(self, page: Page, *, until: Until = None) -> Page:
        """Goes where it stopped before."""
        assert page.is_ahead, f"{page.url} has been visited"
        return self.get(page.url, until=until) if page.ahead is None else self._go(page.ahead, until)

    def submit(
        self, page: Page, button: str, values: Mapping[str, str] | None = None, *, until: Until = None
    ) -> Page:
        """Fills in fields of the form with this button (by value or label), and presses it."""
        form = page.form_with(button)
        pressed = form.button(button)
        filled = [(name, (values or {}).get(name, value)) for name, value in form.fields]
        missing = set(values or {}) - {name for name, _ in filled}
        assert not missing, f"the form at {page.url} has no fields {missing}, only {form.names}"
        if pressed and pressed.name:
            filled.append((pressed.name, pressed.value))
        return self.send(form.method, form.action, filled, page=page, until=until)

    def send(self, method: str, url: str, fields: Fields, *, page: Page, until: Until = None) -> Page:
        """What pressing a button of a form at `page` sends; for pages that are hostile, too."""
        form_action = Directive.of(page, "form-action")
        if method == "GET":
            url = urlsplit(url)._replace(query=urlencode(fields)).geturl()
            return self._go(Navigation("GET", url, None, None, page, (page.url,), form_action), until)
        return self._go(Navigation(method, url, fields, origin_of_post(page, url), page, (page.url,), form_action), until)

    def fetch(self, method: str, url: str, *, json: Any = None) -> httpx2.Response:
        """A request of a script to the server its page is from."""
        headers = {"Origin": origin_of(url), "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        return self._exchange(method, url, headers, is_cross_site=False, json=json)

    def cookies_of(self, host: str) -> list[Cookie]:
        return [cookie for cookie in self.cookies.values() if cookie.host == host]

    # One address after the other

    def _go(self, navigation: Navigation, until: Until) -> Page:
        for _ in range(MOST_REDIRECTS):
            page, url = navigation.page, navigation.url
            if page and navigation.form_action and not navigation.form_action.allows(url, page.url):
                raise Blocked(f"form-action of {page.url} allows {' '.join(navigation.form_action.sources)}, not {url}")
            if until and (url.startswith(until) if isinstance(until, str) else until(url)):
                return Page(url, ahead=navigation)
            if urlsplit(url).scheme not in ("http", "https"):
                raise Blocked(f"led to {url}")
            response = self._send(navigation)
            location = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or location is None:
                return Page(url, response)
            navigation = redirected(navigation, response.status_code, urljoin(url, location))
        raise Blocked(f"more than {MOST_REDIRECTS} redirects, last to {navigation.url}")

    def _send(self, navigation: Navigation) -> httpx2.Response:
        relation = fetch_site(navigation)
        headers = {
            "Accept": "text/html,application/xhtml+xml",
            "Sec-Fetch-Site": relation,
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-User": "?1",
        }
        content = None
        if navigation.origin is not None:
            headers["Origin"] = navigation.origin
        if navigation.fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode(navigation.fields)
        is_cross_site = relation == "cross-site"
        return self._exchange(navigation.method, navigation.url, headers, is_cross_site=is_cross_site, content=content)

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], *, is_cross_site: bool, content: str | None = None, json: Any = None
    ) -> httpx2.Response:
        sent = [c for c in self.cookies.values() if c.goes_to(url, method=method, is_cross_site=is_cross_site)]
        if sent:
            headers["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)
        response = self._http.request(method, url, headers=headers, content=content, json=json)
        self._http.cookies.clear()
        self.responses.append(response)
        self._keep(response.headers.get_list("Set-Cookie"), urlsplit(url).hostname or "")
        return response

    def _keep(self, headers: Iterable[str], host: str) -> None:
        for header in headers:
            cookie = Cookie.parse(header, host)
            key = cookie.host, cookie.path, cookie.name
            if not cookie.is_acceptable:
                self.refused_cookies.append(header)
            elif cookie.is_over:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = cookie


def origin_of_post(page: Page, url: str) -> str:
    """As Fetch serializes it: a page with `no-referrer` does not say where its forms come from, not even to itself."""
    policy = page.headers.get("Referrer-Policy", "").split(",")[-1].strip().lower()
    is_silent = policy == "no-referrer" or (policy == "same-origin" and origin_of(page.url) != origin_of(url))
    return "null" if is_silent else origin_of(page.url)


def redirected(navigation: Navigation, status: int, url: str) -> Navigation:
    # What a person typed stays theirs, wherever it leads.
    chain = (*navigation.chain, navigation.url) if navigation.page else ()
    if status not in (307, 308):
        return replace(navigation, method="GET", url=url, fields=None, origin=None, chain=chain)
    is_elsewhere = navigation.origin is not None and origin_of(url) != origin_of(navigation.url)
    return replace(navigation, url=url, origin="null" if is_elsewhere else navigation.origin, chain=chain)


def fetch_site(navigation: Navigation) -> str:
    """`Sec-Fetch-Site`: the farthest relation of the target to whatever led to it."""
    if not navigation.chain:
        return "none"
    if any(site_of(step) != site_of(navigation.url) for step in navigation.chain):
        return "cross-site"
    is_own = all(origin_of(step) == origin_of(navigation.url) for step in navigation.chain)
    return "same-origin" if is_own else "same-site"
