import { expect, test } from "vitest";
import { CAPACITY } from "../../src/config/capacity.ts";
import { configFromEnvironment } from "../../src/config/environment/from-environment.ts";
import { configOf } from "./routes.ts";

const LONG = "0123456789abcdef0123456789abcdef";

test("the defaults are the documented ones", () => {
  expect(configOf({})).toMatchObject({
    listen: { host: "127.0.0.1", port: 8787 },
    dataDir: "./data",
    database: { kind: "sqlite", path: "data/millrace.db" },
    durability: "process",
    firstKey: null,
    adminToken: null,
    log: { level: "info", format: "json" },
    sizes: { requestBytesMax: 16_777_216, answerBytesMax: 67_108_864 },
    shutdown: { delayMs: 0, drainMs: 600_000 },
  });
  expect(configOf({ ACME_BASE_URL: "https://a.example", ACME_API_KEY: LONG }).upstreams.get("acme")).toMatchObject({
    timeouts: {
      connectMs: 5000,
      firstEventMs: 120_000,
      payloadIdleMs: 60_000,
      transportIdleMs: 60_000,
      totalMs: 3_600_000,
    },
    inFlightMax: CAPACITY.callsMax,
    reservedShare: 0.25,
    onDisconnect: { mode: "abort" },
    malformed: "fail",
    finish: "optional",
    eventBytesMax: 1_048_576,
  });
});

test("every variable is read, cleaned of what people paste", () => {
  const config = configOf({
    MILLRACE_HOST: " 0.0.0.0 ",
    MILLRACE_PORT: "0",
    MILLRACE_DATA: '"/var/lib/millrace"',
    MILLRACE_STATE_URL: "memory",
    MILLRACE_ADMIN_TOKEN: `mra_${LONG}\n`,
    MILLRACE_MASTER_KEY: LONG,
    MILLRACE_KEY: `Bearer sk-${LONG}`,
    MILLRACE_LOG_LEVEL: "WARN",
    MILLRACE_LOG_FORMAT: "text",
    MILLRACE_URL: "http://127.0.0.1:1",
  });
  expect(config).toMatchObject({
    listen: { host: "0.0.0.0", port: 0 },
    database: { kind: "sqlite", path: "/var/lib/millrace/millrace.db" },
    adminToken: `mra_${LONG}`,
    firstKey: `sk-${LONG}`,
    log: { level: "warn", format: "text" },
    shutdown: { delayMs: 5000 },
    warnings: [],
  });
});

test.each([
  ["sqlite:./a.db", "./a.db"],
  ["sqlite:/a/b.db", "/a/b.db"],
  ["sqlite:///a/b.db", "/a/b.db"],
])("MILLRACE_DATABASE_URL=%s is the file %s", (url, path) => {
  expect(configOf({ MILLRACE_DATABASE_URL: url }).database).toEqual({ kind: "sqlite", path });
});

test.each([
  ["MILLRACE_HOST", "http://0.0.0.0", "must be a host name or an address, without scheme and port."],
  ["MILLRACE_PORT", "80a", "must be a port number from 0 to 65535."],
  ["MILLRACE_PORT", "65536", "must be a port number from 0 to 65535."],
  ["MILLRACE_DATABASE_URL", "mysql://u:p@h/d", "must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME."],
  ["MILLRACE_DATABASE_URL", "postgres://u:p@h/", "must be postgres://USER:PASSWORD@HOST:PORT/NAME."],
  ["MILLRACE_DATABASE_URL", "sqlite:", "must be sqlite:PATH, and the path is missing."],
  ["MILLRACE_STATE_URL", "redis://h", "must be memory; other stores are not supported by this version."],
  ["MILLRACE_ADMIN_TOKEN", `mra_${LONG.slice(1)}`, "must be mra_ followed by at least 32 characters."],
  ["MILLRACE_KEY", `pk-${LONG}`, "must be sk- followed by at least 32 characters."],
  ["MILLRACE_KEY", `sk-${LONG.slice(1)}`, "must be sk- followed by at least 32 characters."],
  ["MILLRACE_KEY", `sk-${LONG} x`, "holds white space at position 36."],
  ["MILLRACE_LOG_LEVEL", "loud", "must be one of trace, debug, info, warn, error, silent."],
  ["MILLRACE_LOG_FORMAT", "xml", "must be one of json, text."],
])("%s=%s is a mistake", (name, value, fault) => {
  expect(configFromEnvironment({ [name]: value })).toEqual({
    ok: false,
    mistakes: [{ place: name, message: `${name} ${fault}` }],
  });
});

test("several mistakes come at once", () => {
  const result = configFromEnvironment({
    MILLRACE_PORT: "x",
    MILLRACE_LOG_LEVEL: "x",
    ACME_BASE_URL: "x",
    ACME_API_KEY: LONG,
  });
  expect(result.ok ? [] : result.mistakes.map(({ place }) => place)).toEqual(["MILLRACE_PORT", "MILLRACE_LOG_LEVEL", "ACME_BASE_URL"]);
});

test("an unknown variable of ours is a warning with the nearest name", () => {
  expect(configOf({ MILLRACE_PROT: "1", MILLRACE_toString: "1" }).warnings).toEqual([
    "MILLRACE_PROT is not a variable of this relay; did you mean MILLRACE_PORT?",
    expect.stringMatching(/^MILLRACE_toString is not a variable of this relay/),
  ]);
});

test("blank variables count as unset, and the result is frozen", () => {
  const config = configOf({ MILLRACE_PORT: "", MILLRACE_KEY: " ", DEEPSEEK_API_KEY: "" });
  expect(config).toMatchObject({ listen: { port: 8787 }, firstKey: null, isDemo: true });
  expect(Object.isFrozen(config) && Object.isFrozen(config.listen)).toBe(true);
});
