/** Values of options. */
import { InvalidArgumentError } from "commander";

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("write a whole number.");
  return Number(text);
}

/** `a,b`. */
export function commaList(text: string): string[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.includes("")) throw new InvalidArgumentError("write names with commas between them.");
  return words;
}

export interface BudgetQuery {
  readonly period: string;
  readonly cap: string;
}

/** `day=5.00`, may be given several times. */
export function listOfBudgets(text: string, before: readonly BudgetQuery[] = []): BudgetQuery[] {
  const [, period, cap] = /^(day|week|month|total)=(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (period === undefined || cap === undefined) throw new InvalidArgumentError("write it as day=5.00, week=, month= or total=.");
  return [...before, { period, cap }];
}
