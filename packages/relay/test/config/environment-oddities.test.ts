import { describe, expect, test } from "vitest";
import { configOf, GUIDE, KEY, mistakesOf } from "./routes.ts";

describe("odd values", () => {
  test("a pasted key is cleaned", () => {
    const config = configOf({ DEEPSEEK_API_KEY: `\ufeff "Bearer ${KEY}"\r\n` });
    expect(config.upstreams.get("deepseek")?.apiKey).toBe(KEY);
  });

  test.each([
    "your_holysheep_key",
    "YOUR_API_KEY",
    "sk-...",
    "...",
    "changeme",
    "<your key>",
    "${KEY}",
    "sk-xxxx",
    "sk-…",
    "sk-your-key-here",
  ])("%s is a placeholder and makes no upstream", (key) => {
    const config = configOf({ HOLYSHEEP_API_KEY: key, DEEPSEEK_API_KEY: KEY });
    expect([...config.upstreams.keys()]).toEqual(["deepseek"]);
    expect(config.warnings).toEqual(["HOLYSHEEP_API_KEY is a placeholder, so there is no upstream holysheep."]);
  });

  test("a key that cannot be sent is a warning beside other upstreams and a mistake when it was the only one", () => {
    const config = configOf({ HOLYSHEEP_API_KEY: "abc defghij", DEEPSEEK_API_KEY: KEY });
    expect(config.warnings).toEqual(["HOLYSHEEP_API_KEY holds white space at position 4, so there is no upstream holysheep."]);
    expect(mistakesOf({ HOLYSHEEP_API_KEY: "abc defghij" })).toEqual([
      "HOLYSHEEP_API_KEY | HOLYSHEEP_API_KEY holds white space at position 4; correct it or remove it.",
    ]);
  });

  test.each([
    ["ftp://a.example", "must be an address such as https://api.example.com/v1."],
    ["a.example/v1", "must be an address such as https://api.example.com/v1."],
    ["https://u:p4ss@a.example/v1", "must not hold a user name or password; use the API key."],
    ["https://a.example/v1?k=1", "must not hold a query (?...)."],
    ["https://a.example/v1#x", "must not hold a fragment (#...)."],
    ["https://a.example/v 1", "holds white space."],
    ["https://a.example/v1/chat/completions", "must end before /chat/completions."],
  ])("the address %s is a mistake", (url, fault) => {
    expect(mistakesOf({ ACME_BASE_URL: url, ACME_API_KEY: KEY })).toEqual([`ACME_BASE_URL | ACME_BASE_URL ${fault}`]);
  });

  test("half of a known pair is a warning", () => {
    expect(configOf({ FALLBACK_BASE_URL: "https://a.example" }).warnings[0]).toMatch(
      /^FALLBACK_BASE_URL is set but FALLBACK_API_KEY is not/,
    );
    expect(configOf({ FALLBACK_API_KEY: KEY }).warnings[0]).toMatch(/^FALLBACK_API_KEY is set but FALLBACK_BASE_URL is not/);
    expect(configOf({ OPENAI_BASE_URL: "https://a.example" }).warnings[0]).toMatch(/^OPENAI_BASE_URL is set but OPENAI_API_KEY is not/);
  });

  test("http:// is a warning on a foreign host only", () => {
    const near = ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://10.0.0.1", "http://vllm:8000", "http://gpu.local"];
    for (const url of near) expect(configOf({ A_BASE_URL: url, A_API_KEY: KEY }).warnings).toEqual([]);
    expect(configOf({ A_BASE_URL: "http://a.example", A_API_KEY: KEY }).warnings[0]).toMatch(/^A_BASE_URL is http:/);
  });

  test("an active provider that is not there is a mistake with the nearest name", () => {
    expect(mistakesOf({ ...GUIDE, ACTIVE_PROVIDER: "holyshep" })).toEqual([
      "ACTIVE_PROVIDER | ACTIVE_PROVIDER names no configured upstream (there are: holysheep, fallback); did you mean holysheep?",
    ]);
    expect(configOf({ ACTIVE_PROVIDER: "deepseek" }).warnings).toEqual(["ACTIVE_PROVIDER is set, but no upstream is configured."]);
  });
});
