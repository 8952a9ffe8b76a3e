import { drawFrom } from "./draw.ts";
import type { Fault, FaultRule } from "./fault.ts";

/**
 * Which fault, if any, the request (or connection) with this number meets. One draw decides between all rules, so
 * shares add up: two rules of 5% spoil 10% of the requests.
 */
export function drawFault(rules: readonly FaultRule[], seed: number, name: string): Fault | null {
  if (rules.length === 0) return null;
  let left = drawFrom(seed, name)();
  for (const rule of rules) {
    if (left < rule.share) return rule.fault;
    left -= rule.share;
  }
  return null;
}
