/** An upstream that keeps its own books: what it bills is known to the token, whatever became of its answers. */
import { readWrittenPrice } from "@millrace/policy/price-written";
import { buildPriceBook } from "../../src/prices/book.ts";
import { withId } from "../../src/prices/id.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import type { SimulatorOptions } from "../../src/simulator/simulator.ts";
import type { RelaySetup } from "../support/start-relay.ts";

/** One call that is billed. */
export interface Billed {
  readonly day: string;
  readonly model: string;
  readonly input: number;
  readonly cached: number;
  readonly output: number;
}

/** How a call ends. Whoever does not answer it bills nothing. */
export type Turn = "good" | "refused" | "failed" | "broken" | "silent";

/** Usage comes with every event, so that also a broken answer has told it. */
const SCENARIOS: Readonly<Record<Turn, Partial<Scenario>>> = {
  good: { usage: "every-chunk", text: "one two three" },
  refused: { fault: { kind: "status", status: 503 } },
  failed: { usage: "every-chunk", fault: { kind: "error-event", afterEvents: 1 } },
  broken: { usage: "every-chunk", events: 20, fault: { kind: "error-event", afterEvents: 8 } },
  silent: { usage: "never", text: "one two three" },
};

export class Provider {
  readonly bills: Billed[] = [];
  readonly model: string;
  turn: Turn = "good";
  #calls = 0;

  constructor(model: string) {
    this.model = model;
  }

  /** The upstream of a relay that asks here. */
  get upstream(): RelaySetup["upstreams"][string] {
    return { model: this.model, simulator: { script: () => this.#answer() } satisfies SimulatorOptions };
  }

  #answer(): Partial<Scenario> {
    this.#calls++;
    const [cached, output] = [this.#calls * 37, 1_000 + this.#calls * 13];
    const input = 3_000 + cached + this.#calls;
    if (this.turn !== "refused") this.bills.push({ day: new Date().toISOString().slice(0, 10), model: this.model, input, cached, output });
    return { ...SCENARIOS[this.turn], tokens: { prompt: input, cached, completion: output, reasoning: 5 } };
  }
}

/** USD per million tokens. */
const WRITTEN = { input: "0.30", cached_input: "0.006", output: "1.20" };
const PICO = { input: 300_000n, cached: 6_000n, output: 1_200_000n };

/** What every model of these upstreams costs. */
export function pricesOf(upstreams: Readonly<Record<string, Provider>>): NonNullable<RelaySetup["prices"]> {
  const read = readWrittenPrice(WRITTEN);
  if (!("price" in read)) throw new Error("the test's own price is wrong");
  const { price } = read;
  const costs = Object.entries(upstreams).map(
    ([name, { model }]) => [name, new Map([[model, [withId(`${name}/${model}`, price)]]])] as const,
  );
  const names = Object.keys(upstreams).map((name) => ({ name }));
  return buildPriceBook(names, { prices: new Map(), costs: new Map(costs), imported: [], markupPpm: 1_000_000n });
}

/** The bill in USD, as exact decimal text. */
export function usdOf({ input, cached, output }: Billed): string {
  const pico = BigInt(input - cached) * PICO.input + BigInt(cached) * PICO.cached + BigInt(output) * PICO.output;
  const digits = pico.toString().padStart(13, "0");
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`;
}
