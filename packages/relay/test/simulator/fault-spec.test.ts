import { expect, test } from "vitest";

import { FAULT_FORMS, parseFaultSpec } from "../../src/simulator/fault-spec.ts";
import { chatRequest, exchangeRaw, until } from "./raw-client.ts";
import { chat, fault, simulated } from "./simulated.ts";

test("a spec is a name, a value and a share", () => {
  const read = (text: string): unknown => {
    const result = parseFaultSpec(text);
    return "ok" in result ? result.ok : result.error;
  };
  expect(read("cut=1200@5%")).toEqual({ fault: { kind: "cut", bytes: 1200 }, share: 0.05 });
  expect(read("429=2s")).toEqual({
    fault: { kind: "status", status: 429, retryAfterMs: 2000 },
    share: 1,
  });
  expect(read("503")).toEqual({ fault: { kind: "status", status: 503 }, share: 1 });
  expect(read("status=503:html@0.5")).toEqual({
    fault: { kind: "status", status: 503, shape: "html" },
    share: 0.5,
  });
  expect(read("101@1%")).toEqual({ fault: { kind: "101" }, share: 0.01 });
  expect(read("100-then-103")).toEqual({ fault: { kind: "100-then-103" }, share: 1 });
  expect(read("hang-headers-then")).toEqual({ fault: { kind: "hang-headers" }, share: 1 });
  expect(read("redirect=301:http://u:p@host/x@10%")).toEqual({
    fault: { kind: "redirect", status: 301, location: "http://u:p@host/x" },
    share: 0.1,
  });
  expect(read("gzip-bomb=10mb")).toEqual({
    fault: { kind: "gzip-bomb", inflatedBytes: 10_485_760 },
    share: 1,
  });
  expect(read("drip=1.5s")).toEqual({ fault: { kind: "drip", everyMs: 1500 }, share: 1 });
  expect(read("error-event=3:vllm")).toEqual({
    fault: { kind: "error-event", afterEvents: 3, shape: "vllm" },
    share: 1,
  });
  expect(read("close-idle=reuse")).toEqual({
    fault: { kind: "close-idle", when: "reuse" },
    share: 1,
  });
});

test("a wrong spec says what is allowed", () => {
  const error = (text: string): string => {
    const result = parseFaultSpec(text);
    return "error" in result ? result.error : "no error";
  };
  expect(error("nonsense")).toContain("there are: ");
  expect(error("nonsense")).toContain("cut=BYTES");
  expect(error("cut")).toContain("write cut=BYTES");
  expect(error("cut=-5")).toContain("write cut=BYTES");
  expect(error("429=soon")).toContain("e.g. 2s");
  expect(error("hang@200%")).toContain("0% to 100%");
  expect(error("hang=5")).toContain("write hang");
  expect(error("status=200")).toContain("CODE");
  expect(error("=5")).toContain("name[=value][@share]");
  expect(error("")).toContain("name[=value][@share]");
});

test("every form that is listed starts with a name that is known", () => {
  for (const form of FAULT_FORMS.slice(0, -1)) {
    const name = /^[\w-]+/.exec(form)?.[0] ?? "";
    const result = parseFaultSpec(name);
    expect("ok" in result || !result.error.startsWith("no fault"), form).toBe(true);
  }
});

const VALUES: Readonly<Record<string, string>> = {
  status: "=500",
  stall: "=1",
  cut: "=9",
  rst: "=9",
  redirect: "=http://127.0.0.1:9/",
  drip: "=5ms",
  linger: "=5ms",
};

test("after any fault, on any endpoint, the simulator still answers well", async () => {
  const simulator = await simulated();
  for (const form of FAULT_FORMS.slice(0, -1)) {
    const name = /^[\w-]+/.exec(form)?.[0] ?? "";
    simulator.setScenario({ fault: fault(name + (VALUES[name] ?? "")) });
    await Promise.all([{ stream: true }, {}].map((body) => exchangeRaw(simulator.port, chatRequest(body, { connection: "close" }), 100)));
    simulator.setScenario({});
    expect((await chat(simulator, { stream: true })).text, name).toMatch(/\[DONE\]\n\n$/);
  }
  await until(() => simulator.counts.openRequests === 0);
});
