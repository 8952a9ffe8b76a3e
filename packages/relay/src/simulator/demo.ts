/** Without any provider key the relay still answers: the simulator takes the place of an upstream, as `demo`. */
import { RESERVED_SHARE } from "@millrace/policy/fair-share";
import type { PriceHistory } from "@millrace/policy/price";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { CAPACITY } from "../config/capacity.ts";
import type { Config, Upstream } from "../config/config.ts";
import { DEMO_SCENARIO } from "./scenario.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";

const TIMEOUTS: Upstream["timeouts"] = {
  connectMs: 5_000,
  firstEventMs: 120_000,
  payloadIdleMs: 60_000,
  transportIdleMs: 60_000,
  totalMs: 3_600_000,
};

/** What accounts that pay are charged for the simulator, so that they can be tried. USD per million tokens. */
const PRICES = demoPrices({ input: "0.15", cached_input: "0.015", output: "0.60" });
/** What the simulator's tokens cost the operator. */
const COSTS = demoPrices({ input: "0", cached_input: "0", output: "0" });

/** The simulator that answers as `demo`. */
export function startDemo(): Promise<Simulator> {
  return startSimulator({ scenario: DEMO_SCENARIO });
}

/** A configuration without upstreams as one whose only upstream is the simulator. */
export function demoConfig(config: Config, simulator: Pick<Simulator, "url">): Config {
  const demo: Upstream = {
    name: "demo",
    provider: "openai-compatible",
    baseUrl: simulator.url,
    apiKey: null,
    timeouts: TIMEOUTS,
    inFlightMax: CAPACITY.callsMax,
    reservedShare: RESERVED_SHARE,
    onDisconnect: { mode: "abort" },
    malformed: "fail",
    usageInStream: true,
    finish: "required",
    eventBytesMax: 1024 * 1024,
  };
  return {
    ...config,
    upstreams: new Map([["demo", demo]]),
    models: new Map([["demo", { name: "demo", routes: [{ upstream: "demo", model: "demo" }], isListed: true }]]),
    takesAnyModel: ["demo"],
    prices: { ...config.prices, prices: PRICES, costs: new Map([["demo", COSTS]]) },
  };
}

/** @throws when the price above is written wrongly. */
function demoPrices(usdPerMillion: Readonly<Record<string, string>>): ReadonlyMap<string, PriceHistory> {
  const read = readWrittenPrice(usdPerMillion);
  if (!("price" in read)) throw new Error("the simulator's price is written wrongly");
  return new Map([["demo", [{ ...read.price, id: "demo" }]]]);
}
