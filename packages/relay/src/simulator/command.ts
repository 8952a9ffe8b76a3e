import { parseDurationMs, parseRatePerSecond } from "./duration.ts";
import { parseFaultSpec } from "./fault-spec.ts";
import type { FaultRule } from "./fault.ts";
import { DEMO_SCENARIO } from "./scenario.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";

/** The arguments of `millrace simulate`, as typed. */
export interface SimulateArgs {
  readonly port?: number;
  readonly host?: string;
  /** E.g. `80ms`. */
  readonly ttft?: string;
  /** E.g. `60/s`; `0` = as fast as the socket takes it. */
  readonly rate?: string;
  readonly seed?: number;
  /** E.g. `cut=1200@5%`. */
  readonly faults?: readonly string[];
}

export type SimulateResult = { readonly ok: Simulator } | { readonly errors: readonly string[] };

interface Reading {
  readonly ttftMs: number;
  readonly ratePerSecond: number;
  readonly faults: readonly FaultRule[];
}

/**
 * Starts the simulator for the command line and prints its one line. If arguments are wrong, it reports all of them and
 * starts nothing. It throws if the port is taken, as listening does.
 */
export async function runSimulate(args: SimulateArgs, print: (line: string) => void = console.log): Promise<SimulateResult> {
  const reading = readArgs(args);
  if ("errors" in reading) return reading;
  const { ttftMs, ratePerSecond, faults } = reading;
  const simulator = await startSimulator({
    ...(args.host === undefined ? {} : { host: args.host }),
    ...(args.port === undefined ? {} : { port: args.port }),
    ...(args.seed === undefined ? {} : { seed: args.seed }),
    scenario: { ...DEMO_SCENARIO, ttftMs, ratePerSecond },
    faults,
  });
  print(`simulator listening on ${simulator.url}`);
  return { ok: simulator };
}

function readArgs(args: SimulateArgs): Reading | { readonly errors: readonly string[] } {
  const ttftMs = parseDurationMs(args.ttft ?? "80ms");
  const ratePerSecond = parseRatePerSecond(args.rate ?? "60/s");
  const specs = (args.faults ?? []).map(parseFaultSpec);
  const errors = specs.flatMap((spec) => ("error" in spec ? [spec.error] : []));
  if (ttftMs === undefined) errors.unshift(`--ttft "${args.ttft}" is no time: write e.g. 80ms or 2s`);
  if (ratePerSecond === undefined) errors.unshift(`--rate "${args.rate}" is no rate: write e.g. 60/s`);
  if (ttftMs === undefined || ratePerSecond === undefined || errors.length > 0) return { errors };
  return {
    ttftMs,
    ratePerSecond,
    faults: specs.flatMap((spec) => ("ok" in spec ? [spec.ok] : [])),
  };
}
