import { describe, expect, test } from "vitest";
import { fileConfig, fileMistakes, readText } from "./files.ts";
import { KEY, listed, routesOf } from "./routes.ts";

const SAMPLE = `
listen: 127.0.0.1:9999
database: sqlite:./x/millrace.db
state: memory
data: ./x
upstreams:
  deepseek:  { provider: deepseek, api_key: "\${DEEPSEEK_API_KEY}" }
  holysheep: { provider: openai-compatible, base_url: https://api.holysheep.ai/v1, api_key: "\${HOLYSHEEP_API_KEY}",
               timeouts: { connect: 1s, first_event: 90s, payload_idle: 250ms, transport_idle: 45s, total: 1h }, max_in_flight: 7, reserved_percent: 10,
               on_disconnect: { drain: { for: 10s, max_bytes: 64KiB } }, malformed: skip, finish: required, max_event: 2MiB }
models:
  deepseek-chat:
    upstreams: [ { upstream: deepseek, model: deepseek-chat }, { upstream: holysheep } ]
    continuation: off
  "fast/chat": { upstreams: [ { upstream: holysheep, model: deepseek-chat } ] }
sizes: { request: 1MiB, answer: 2GiB }
shutdown: { delay: 0s, drain: 90s }
log: { level: debug, format: text }
`;

describe("a file", () => {
  const config = fileConfig(SAMPLE);

  test("says everything that a configuration holds", () => {
    expect(config).toMatchObject({
      listen: { host: "127.0.0.1", port: 9999 },
      dataDir: "./x",
      database: { kind: "sqlite", path: "./x/millrace.db" },
      takesAnyModel: [],
      log: { level: "debug", format: "text" },
      sizes: { requestBytesMax: 1_048_576, answerBytesMax: 2_147_483_648 },
      shutdown: { delayMs: 0, drainMs: 90_000 },
      isDemo: false,
      warnings: [],
    });
    expect(config.upstreams.get("holysheep")).toEqual({
      name: "holysheep",
      preset: "openai-compatible",
      provider: "openai-compatible",
      baseUrl: "https://api.holysheep.ai/v1",
      apiKey: KEY,
      timeouts: {
        connectMs: 1000,
        firstEventMs: 90_000,
        payloadIdleMs: 250,
        transportIdleMs: 45_000,
        totalMs: 3_600_000,
      },
      inFlightMax: 7,
      reservedShare: 0.1,
      onDisconnect: { mode: "drain", forMs: 10_000, bytesMax: 65_536 },
      usageInStream: true,
      malformed: "skip",
      finish: "required",
      eventBytesMax: 2_097_152,
    });
    expect(config.upstreams.get("deepseek")).toMatchObject({
      provider: "deepseek",
      baseUrl: "https://api.deepseek.com/v1",
      finish: "required",
      timeouts: { firstEventMs: 600_000 },
    });
  });

  test("owns the models; upstream/model still works, and a name of the file wins over it", () => {
    expect(routesOf(config, "deepseek-chat")).toEqual(["deepseek:deepseek-chat", "holysheep:deepseek-chat"]);
    expect(routesOf(config, "fast/chat")).toEqual(["holysheep:deepseek-chat"]);
    expect(routesOf(config, "deepseek/anything")).toEqual(["deepseek:anything"]);
    expect(routesOf(config, "deepseek-flash")).toBeNull();
    expect(listed(config)).toEqual(["deepseek-chat", "fast/chat"]);
  });

  test("without models leaves them to the catalogue", () => {
    const sole = fileConfig("upstreams: { a: { base_url: http://127.0.0.1:1 } }");
    expect(routesOf(sole, "x")).toEqual(["a:x"]);
    const two = fileConfig('upstreams: { a: { base_url: http://127.0.0.1:1 }, b: { provider: deepseek, api_key: "${DEEPSEEK_API_KEY}" } }');
    expect(routesOf(two, "deepseek-v7")).toEqual(["b:deepseek-v7"]);
    expect(routesOf(two, "x")).toBeNull();
  });

  test("may be JSON with tabs, or empty", () => {
    expect(fileConfig('\ufeff{\n\t"listen": "[::1]:80",\n\t"upstreams": {}\n}')).toMatchObject({
      listen: { host: "::1", port: 80 },
      isDemo: true,
    });
    expect(readText("").reading).toMatchObject({ routing: null });
    expect(readText("# nothing\n").reading).toMatchObject({ routing: null });
  });

  test("has drain in short", () => {
    const config = fileConfig("upstreams: { a: { base_url: http://127.0.0.1:1, on_disconnect: drain } }");
    expect(config.upstreams.get("a")?.onDisconnect).toEqual({
      mode: "drain",
      forMs: 30_000,
      bytesMax: 1_048_576,
    });
  });
});

describe("references", () => {
  test("are replaced inside text, and $${ is a literal", () => {
    const config = fileConfig('upstreams: { a: { base_url: "https://${PLACE}/v1" } }\ndata: "./$${PLACE}$"');
    expect([config.upstreams.get("a")?.baseUrl, config.dataDir]).toEqual(["https://a.example/v1", "./${PLACE}$"]);
  });

  test("that are unset, malformed or empty are mistakes at their place, once each", () => {
    const text = 'data: "${NOT_SET}"\nupstreams:\n  a:\n    base_url: "${1}"\n    api_key: "${EMPTY}"\n  b:\n    base_url: "${PLACE"\n';
    expect(fileMistakes(text)).toEqual([
      "1:7 data refers to the environment variable NOT_SET, which is not set.",
      "4:15 upstreams.a.base_url holds a malformed reference; write ${NAME}, or $${ for a literal ${.",
      "5:14 upstreams.a.api_key is empty.",
      "7:15 upstreams.b.base_url holds a malformed reference; write ${NAME}, or $${ for a literal ${.",
    ]);
  });
});

describe("legal but odd", () => {
  test("a key in the file and http:// on a foreign host are warnings with their places", () => {
    const config = fileConfig("upstreams:\n  a: { base_url: http://a.example, api_key: k-12345678 }");
    expect(config.warnings).toEqual([
      'm.yaml:2:45: upstreams.a.api_key is written into the file; better a reference such as "${PROVIDER_API_KEY}".',
      "m.yaml:2:18: upstreams.a.base_url is http:// on a remote host: keys and prompts travel unencrypted.",
    ]);
  });

  test("a local preset needs nothing but its name", () => {
    const config = fileConfig("upstreams: { mine: { provider: ollama } }");
    expect(config.upstreams.get("mine")).toMatchObject({
      provider: "openai-compatible",
      baseUrl: "http://127.0.0.1:11434/v1",
    });
  });

  test("a preset on this machine needs no key", () => {
    const config = fileConfig("upstreams: { deepseek: { base_url: http://127.0.0.1:9 } }");
    expect(config.upstreams.get("deepseek")).toMatchObject({ provider: "deepseek", apiKey: null });
  });
});
