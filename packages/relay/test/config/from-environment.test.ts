import { describe, expect, test } from "vitest";
import { configOf, GUIDE, KEY, listed, mistakesOf, routesOf } from "./routes.ts";

describe("the guide's own file", () => {
  const config = configOf(GUIDE);

  test("sends deepseek-chat to holysheep first and to the fallback next", () => {
    expect(routesOf(config, "deepseek-chat")).toEqual(["holysheep:deepseek-chat", "fallback:deepseek-chat"]);
  });

  test("knows the fallback's provider by its host", () => {
    const fallback = config.upstreams.get("fallback");
    expect(fallback).toMatchObject({
      provider: "deepseek",
      finish: "required",
      apiKey: "f-0123456789abcdef",
    });
    expect(fallback?.timeouts.firstEventMs).toBe(600_000);
    expect(config.upstreams.get("holysheep")).toMatchObject({
      provider: "openai-compatible",
      finish: "optional",
      apiKey: KEY,
    });
  });

  test("keeps the active provider first for names that only the fallback knows, and for names nobody knows", () => {
    expect(routesOf(config, "deepseek-flash")).toEqual(["holysheep:deepseek-flash", "fallback:deepseek-flash"]);
    expect(routesOf(config, "deepseek-v9")).toEqual(["holysheep:deepseek-v9", "fallback:deepseek-v9"]);
    expect(routesOf(config, "gpt-4o")).toEqual(["holysheep:gpt-4o", "fallback:gpt-4o"]);
  });

  test("lists what holysheep and the fallback are known to serve", () => {
    expect(listed(config).sort()).toEqual(["deepseek-chat", "deepseek-flash", "deepseek-v4-pro"]);
    expect(config.models.get("deepseek-reasoner")?.isListed).toBe(false);
  });

  test("takes upstream/model to that upstream alone", () => {
    expect(routesOf(config, "fallback/deepseek-chat")).toEqual(["fallback:deepseek-chat"]);
    expect(routesOf(config, "holysheep/a/b")).toEqual(["holysheep:a/b"]);
  });

  test("as printed, placeholders and all, starts the demo and says why", () => {
    const printed = configOf({
      ...GUIDE,
      HOLYSHEEP_API_KEY: "your_holysheep_key",
      FALLBACK_API_KEY: "your_fallback_key",
    });
    expect(printed.isDemo).toBe(true);
    expect(printed.warnings.join("\n")).toMatch(/HOLYSHEEP_API_KEY is a placeholder[^]*FALLBACK_API_KEY is a placeholder/);
  });

  test("with only the fallback's key filled in, everything goes to the fallback", () => {
    const half = configOf({ ...GUIDE, HOLYSHEEP_API_KEY: "your_holysheep_key" });
    expect(routesOf(half, "deepseek-chat")).toEqual(["fallback:deepseek-chat"]);
  });
});

describe("the guide's rollback", () => {
  test.each(["false", "0", "no", "off", "FALSE", ' "false" '])("ENABLE_HOLYSHEEP=%s sends everything to the fallback", (word) => {
    const config = configOf({ ...GUIDE, ENABLE_HOLYSHEEP: word });
    for (const name of ["deepseek-chat", "deepseek-flash", "anything"]) expect(routesOf(config, name)).toEqual([`fallback:${name}`]);
    expect(routesOf(config, "holysheep/deepseek-chat")).toEqual(["fallback:deepseek-chat"]);
    expect(config.upstreams.has("holysheep")).toBe(false);
    expect(listed(config)).toContain("deepseek-chat");
    expect(config.warnings).toEqual(["ENABLE_HOLYSHEEP is off: requests for holysheep go to the other upstreams."]);
  });

  test.each(["fallback", "deepseek", "FALLBACK"])("ACTIVE_PROVIDER=%s puts the fallback first", (name) => {
    const config = configOf({ ...GUIDE, ACTIVE_PROVIDER: name });
    expect(routesOf(config, "deepseek-chat")).toEqual(["fallback:deepseek-chat", "holysheep:deepseek-chat"]);
    expect(routesOf(config, "anything")).toEqual(["fallback:anything"]);
  });

  test("an active provider that is off may be gone altogether", () => {
    const { FALLBACK_BASE_URL, FALLBACK_API_KEY } = GUIDE;
    const config = configOf({
      FALLBACK_BASE_URL: FALLBACK_BASE_URL ?? "",
      FALLBACK_API_KEY: FALLBACK_API_KEY ?? "",
      ACTIVE_PROVIDER: "holysheep",
      ENABLE_HOLYSHEEP: "false",
    });
    expect(routesOf(config, "deepseek-chat")).toEqual(["fallback:deepseek-chat"]);
  });

  test("switching everything off is a mistake, never the simulator", () => {
    expect(mistakesOf({ DEEPSEEK_API_KEY: KEY, ENABLE_DEEPSEEK: "false" })).toEqual([
      "ENABLE_DEEPSEEK | ENABLE_DEEPSEEK is off and no other upstream is left; switch one on.",
    ]);
  });

  test("a word that is neither yes nor no is a mistake", () => {
    expect(mistakesOf({ ...GUIDE, ENABLE_HOLYSHEEP: "flase" })).toEqual(["ENABLE_HOLYSHEEP | ENABLE_HOLYSHEEP must be true or false."]);
  });
});

describe("provider keys alone", () => {
  test("DEEPSEEK_API_KEY alone is one upstream that takes any name", () => {
    const config = configOf({ DEEPSEEK_API_KEY: KEY });
    expect(config.upstreams.get("deepseek")?.baseUrl).toBe("https://api.deepseek.com/v1");
    expect(listed(config)).toEqual(["deepseek-flash", "deepseek-v4-pro"]);
    for (const name of ["deepseek-chat", "deepseek-v4-flash", "whatever"]) expect(routesOf(config, name)).toEqual([`deepseek:${name}`]);
  });

  test("of two providers each gets its own names, and a stranger's name has no route", () => {
    const config = configOf({ DEEPSEEK_API_KEY: KEY, OPENAI_API_KEY: KEY });
    expect(routesOf(config, "deepseek-chat")).toEqual(["deepseek:deepseek-chat"]);
    expect(routesOf(config, "gpt-99-new")).toEqual(["openai:gpt-99-new"]);
    expect(routesOf(config, "llama-4")).toBeNull();
    expect(routesOf(config, "openai/llama-4")).toEqual(["openai:llama-4"]);
    expect(routesOf(config, "")).toBeNull();
  });

  test("ACTIVE_PROVIDER takes the names nobody owns, and leaves owned names to their owner", () => {
    const config = configOf({
      DEEPSEEK_API_KEY: KEY,
      OPENAI_API_KEY: KEY,
      ACTIVE_PROVIDER: "openai",
    });
    expect(routesOf(config, "llama-4")).toEqual(["openai:llama-4"]);
    expect(routesOf(config, "deepseek-flash")).toEqual(["deepseek:deepseek-flash"]);
  });

  test("of two that serve a name the active one is first", () => {
    const both = { DEEPSEEK_API_KEY: KEY, HOLYSHEEP_API_KEY: KEY };
    expect(routesOf(configOf({ ...both, ACTIVE_PROVIDER: "holysheep" }), "deepseek-chat")).toEqual([
      "holysheep:deepseek-chat",
      "deepseek:deepseek-chat",
    ]);
    expect(routesOf(configOf(both), "deepseek-chat")).toEqual(["deepseek:deepseek-chat", "holysheep:deepseek-chat"]);
  });

  test("an owned name falls back to the fallback", () => {
    const config = configOf({
      OPENAI_API_KEY: KEY,
      GROQ_API_KEY: KEY,
      FALLBACK_BASE_URL: "https://llm.example.com/v1",
      FALLBACK_API_KEY: KEY,
    });
    expect(routesOf(config, "gpt-4o")).toEqual(["openai:gpt-4o", "fallback:gpt-4o"]);
    expect(routesOf(config, "llama-4")).toEqual(["fallback:llama-4"]);
  });

  test("a name that only the fallback owns is not tried on another maker first", () => {
    const config = configOf({ ...GUIDE, OPENAI_API_KEY: KEY, ACTIVE_PROVIDER: "openai" });
    expect(routesOf(config, "deepseek-flash")).toEqual(["fallback:deepseek-flash"]);
    expect(routesOf(config, "deepseek-chat")).toEqual(["holysheep:deepseek-chat", "fallback:deepseek-chat"]);
    expect(routesOf(config, "llama-4")).toEqual(["openai:llama-4", "fallback:llama-4"]);
  });

  test("an upstream that is off leaves its names to the others", () => {
    const config = configOf({
      DEEPSEEK_API_KEY: KEY,
      OPENAI_API_KEY: KEY,
      ACTIVE_PROVIDER: "openai",
      ENABLE_OPENAI: "no",
    });
    expect(routesOf(config, "gpt-4o")).toEqual(["deepseek:gpt-4o"]);
  });

  test("a custom pair is an upstream of that name in lower case", () => {
    const config = configOf({
      MY_PROXY_BASE_URL: "https://llm.example.com/v1/",
      MY_PROXY_API_KEY: KEY,
    });
    expect(config.upstreams.get("my_proxy")).toMatchObject({
      provider: "openai-compatible",
      baseUrl: "https://llm.example.com/v1",
    });
    expect(routesOf(config, "any/thing")).toEqual(["my_proxy:any/thing"]);
    expect(
      routesOf(
        configOf({
          MY_PROXY_BASE_URL: "https://a.example/v1",
          MY_PROXY_API_KEY: KEY,
          ACTIVE_PROVIDER: "my-proxy",
        }),
        "x",
      ),
    ).toEqual(["my_proxy:x"]);
  });

  test("a local server needs its address and no key", () => {
    const config = configOf({ VLLM_BASE_URL: "http://127.0.0.1:8000", OLLAMA_API_KEY: KEY });
    expect([...config.upstreams.values()].map((upstream) => [upstream.name, upstream.baseUrl, upstream.apiKey])).toEqual([
      ["vllm", "http://127.0.0.1:8000/v1", null],
    ]);
    expect(config.warnings).toEqual([]);
  });

  test("an address overrides the preset's and keeps its dialect", () => {
    const config = configOf({ DEEPSEEK_BASE_URL: "http://127.0.0.1:9/x", DEEPSEEK_API_KEY: KEY });
    expect(config.upstreams.get("deepseek")).toMatchObject({
      provider: "deepseek",
      baseUrl: "http://127.0.0.1:9/x",
      finish: "required",
    });
  });

  test("a host tells its provider, whatever the variable is called", () => {
    const config = configOf({ OPENAI_BASE_URL: "https://api.deepseek.com", OPENAI_API_KEY: KEY });
    expect(config.upstreams.get("openai")).toMatchObject({
      provider: "deepseek",
      baseUrl: "https://api.deepseek.com/v1",
    });
  });

  test("nothing at all is the demo", () => {
    const config = configOf({
      PATH: "/bin",
      GITHUB_API_KEY: KEY,
      SOME_BASE_URL: "https://x.example",
    });
    expect(config).toMatchObject({ isDemo: true, takesAnyModel: [], warnings: [] });
    expect([config.upstreams.size, config.models.size]).toEqual([0, 0]);
  });
});
