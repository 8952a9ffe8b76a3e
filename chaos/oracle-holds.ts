/** How large a hold must be: no smaller than what was delivered under it, no larger than the rules of docs/money.md let it be. */
import type { HoldRow } from "./books.ts";
import type { Asked } from "./customers.ts";
import { isSliding } from "./records.ts";
import type { Records } from "./records.ts";
import { holdFor, promptBound, tokensHeld, WINDOW } from "./tariff.ts";

/** What docs/data.md says an estimate is. */
export const TOKENS_PER_CHARACTER = 0.26;
/** If the upstream sent no usage, the oracle assumes at most this many times the estimated tokens. */
const CAUTION = 2;

/** What is wrong with the size of a hold, or null. */
export function wrongSize(records: Records, asked: Asked, hold: HoldRow): string | null {
  if (isSliding(asked) !== (hold.mode === "sliding")) return `hold ${hold.id} is ${hold.mode}`;
  const prompt = promptBound(asked.bodyBytes);
  const output = hold.mode === "sliding" ? tokensHeld(hold.model, hold.amount).output : asked.number;
  if (hold.amount !== holdFor(hold.model, prompt, output))
    return `hold ${hold.id} of ${hold.amount} is not for ${prompt} tokens and ${output} of output`;
  return hold.mode === "sliding" ? wrongGrowth(records, asked, hold, output) : null;
}

function wrongGrowth(records: Records, asked: Asked, hold: HoldRow, output: number): string | null {
  const heard = Math.floor(records.charactersHeard(hold) * TOKENS_PER_CHARACTER);
  if (output < heard) return `hold ${hold.id} is for ${output} tokens of output, and ${heard} were delivered`;
  const said = Math.ceil(records.charactersSaid(asked.number) * TOKENS_PER_CHARACTER * CAUTION) + 1;
  const reported = Math.max(0, ...(records.calls.get(asked.number) ?? []).map(({ tokens }) => tokens.completion));
  const most = Math.min(asked.number, Math.max(said, reported) + WINDOW);
  if (output < WINDOW || output > most) return `hold ${hold.id} is for ${output} tokens of output: not from ${WINDOW} to ${most}`;
  return null;
}
