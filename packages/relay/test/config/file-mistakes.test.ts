import { describe, expect, test } from "vitest";
import { fileMistakes } from "./files.ts";

describe("a mistake has its line and column", () => {
  test.each([
    ["listn: 127.0.0.1:80", "1:1 listn is not a known key; did you mean listen?"],
    ["xyzzy: 1", "1:1 xyzzy is not a known key."],
    ["listen: 8787", "1:9 listen must be text; put it in quotation marks."],
    ["listen: localhost", "1:9 listen must be HOST:PORT, e.g. 127.0.0.1:8787."],
    ["listen: a:99999", "1:9 listen must be HOST:PORT, e.g. 127.0.0.1:8787."],
    ["database: mysql://h/d", "1:11 database must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME."],
    ["state: redis://h", "1:8 state must be memory; other stores are not supported by this version."],
    ["migrations: {}", "1:1 migrations is not supported by this version; remove it."],
    ["log: { level: loud }", "1:15 log.level must be one of trace, debug, info, warn, error, silent."],
    ["log: { level: debgu }", "1:15 log.level must be one of trace, debug, info, warn, error, silent; did you mean debug?"],
    ["log: { levl: debug }", "1:8 log.levl is not a known key; did you mean level?"],
    ["log: 1", "1:6 log must be a mapping."],
    ["log:", "1:5 log must be a mapping."],
    ["sizes: { request: 16MB }", "1:19 sizes.request must be a size such as 64KiB or 16MiB."],
    ["sizes: { request: 0B }", "1:19 sizes.request must be more than 0 and at most 4GiB."],
    ["shutdown: { drain: 5 }", "1:20 shutdown.drain must be a duration such as 250ms, 5s or 60m."],
    ["shutdown: { drain: 99h }", "1:20 shutdown.drain must be at most 24h."],
    ["upstreams: []", "1:12 upstreams must be a mapping."],
    [
      "upstreams: { a/b: { base_url: http://h } }",
      "1:14 upstreams.a/b is not a legal name: it must be letters, digits, dots, dashes and underscores.",
    ],
    ["upstreams: { a: {} }", "1:17 upstreams.a has no base_url, and its provider has no address of its own."],
    ["upstreams: { a: { provider: deepseek } }", "1:17 upstreams.a has no api_key."],
    ["upstreams: { a: { base_url: ftp://h } }", "1:29 upstreams.a.base_url must be an address such as https://api.example.com/v1."],
    ["upstreams: { a: { base_url: https://u:p@h } }", "1:29 upstreams.a.base_url must not hold a user name or password; use the API key."],
    ["upstreams: { a: { base_url: 'https://h?a=1' } }", "1:29 upstreams.a.base_url must not hold a query (?...)."],
    ["upstreams: { a: { base_url: 'https://h#a' } }", "1:29 upstreams.a.base_url must not hold a fragment (#...)."],
    ["upstreams: { a: { base_url: http://h, api_key: a b c } }", "1:48 upstreams.a.api_key holds white space at position 2."],
    ["upstreams: { a: { base_url: http://h, api_key: your_key } }", "1:48 upstreams.a.api_key is a placeholder; set the real key."],
    [
      "upstreams: { a: { base_url: http://h, timeouts: { conect: 1s } } }",
      "1:51 upstreams.a.timeouts.conect is not a known key; did you mean connect?",
    ],
    [
      "upstreams: { a: { base_url: http://h, timeouts: { connect: 0s } } }",
      "1:60 upstreams.a.timeouts.connect must be more than 0 and at most 24h.",
    ],
    ["upstreams: { a: { base_url: http://h, max_in_flight: 0 } }", "1:54 upstreams.a.max_in_flight must be at least 1."],
    ["upstreams: { a: { base_url: http://h, max_in_flight: 1.5 } }", "1:54 upstreams.a.max_in_flight must be a whole number."],
    ["upstreams: { a: { base_url: http://h, reserved_percent: 91 } }", "1:57 upstreams.a.reserved_percent must be at most 90."],
    ["upstreams: { a: { base_url: http://h, reserved_percent: 25% } }", "1:57 upstreams.a.reserved_percent must be a whole number."],
    [
      "upstreams: { a: { base_url: http://h, on_disconnect: stop } }",
      "1:54 upstreams.a.on_disconnect must be abort, drain, or { drain: { for: 30s, max_bytes: 1MiB } }.",
    ],
    [
      "upstreams: { a: { base_url: http://h, on_disconnect: { drain: { fr: 1s } } } }",
      "1:65 upstreams.a.on_disconnect.drain.fr is not a known key; did you mean for?",
    ],
    ["models: { m: { upstreams: [] } }", "1:27 models.m.upstreams must name at least one upstream."],
    ["models: { m: {} }", "1:14 models.m.upstreams is missing."],
    ["models: { m: { upstreams: [ { model: x } ] } }", "1:29 models.m.upstreams[0].upstream is missing."],
    [
      "models: { '': { upstreams: [ { upstream: x } ] } }\nupstreams: { x: { base_url: http://h } }",
      "1:11 models.(name) is not a legal name: it must be 1 to 200 characters without white space.",
    ],
    [
      "upstreams: { abc: { base_url: http://h } }\nmodels: { m: { upstreams: [ { upstream: abd } ] } }",
      "2:41 models.m.upstreams[0].upstream names no upstream of this file; did you mean abc?",
    ],
    [
      "upstreams: { a: { base_url: http://h } }\nmodels: { m: { upstreams: [ { upstream: a } ], continuation: any } }",
      "2:62 models.m.continuation must be off; other values are not supported by this version.",
    ],
    [
      "upstreams: { a: { base_url: http://h } }\nmodels: { m: { upstreams: [ { upstream: a } ], price: { input: '1', output: '2' } } }",
      "2:55 models.m.price.cached_input is missing; write same if cached input costs as much as other input.",
    ],
    ["upstreams: { a: { base_url: http://h, api_key:sk-12345678901 } }", "1:39 upstreams.a.(name) is not a known key."],
    ["sk-12345678901: x", "1:1 (name) is not a known key."],
    ["just text", "1:1 The file must be a mapping."],
    ["- a\n- b", "1:1 The file must be a mapping."],
    ["a: 1\na: 2", "2:1 This key is already in the same mapping; remove one of them."],
    ["data: [1,\nlog: 2", "2:1 The indentation is wrong here."],
    ["a: 1\n---\nb: 2", "2:1 Write one document in a file; a second one begins here."],
    ["data: !secret x", "1:7 Tags (!name) are not supported; remove it."],
    ["data: *x", "1:1 An alias (*name) in this file has no anchor before it, or there are too many of them."],
  ])("%s", (text, expected) => {
    expect(fileMistakes(text)).toEqual([expected]);
  });

  test("an unknown provider names the nearest", () => {
    const [only, ...rest] = fileMistakes("upstreams: { a: { provider: depseek, base_url: http://h } }");
    expect(only).toMatch(/^1:29 upstreams\.a\.provider must be one of deepseek, openai, .*; did you mean deepseek\?$/);
    expect(rest).toEqual([]);
  });

  test("and all of them come at once, in the order of the file", () => {
    const text = `listen: 127.0.0.1
upstreams:
  deepseek:
    provider: deepseek
    api_key: "\${MISSING_KEY}"
    timeouts:
      connect: 5 seconds
  other:
    base_urll: https://a.example
models:
  chat:
    upstreams:
      - { upstream: deepsek, model: x }
      - { upstream: other }
log:
  level: verbose
`;
    expect(fileMistakes(text).map((line) => line.split(" ", 2).join(" "))).toEqual([
      "1:9 listen",
      "5:14 upstreams.deepseek.api_key",
      "7:16 upstreams.deepseek.timeouts.connect",
      "9:5 upstreams.other.base_urll",
      "9:5 upstreams.other",
      "13:21 models.chat.upstreams[0].upstream",
      "16:10 log.level",
    ]);
  });
});
