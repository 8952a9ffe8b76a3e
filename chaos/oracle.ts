/**
 * Judges what must be true after every kill, from three records that know nothing of each other: what the clients received, what
 * the upstream was asked and sent, and what the database holds. It uses none of the relay's own arithmetic.
 */
import type { Books, HoldRow, RequestRow } from "./books.ts";
import type { Claim, Finding } from "./claims.ts";
import type { Asked } from "./customers.ts";
import { TOKENS_PER_CHARACTER, wrongSize } from "./oracle-holds.ts";
import { judgeKeys } from "./oracle-keys.ts";
import { CLOCK_SLACK_MS, Records } from "./records.ts";
import type { Death, Evidence } from "./records.ts";
import { priceOf } from "./tariff.ts";
import type { Tokens } from "./tariff.ts";
import type { Call } from "./upstream.ts";

/** What a relay sent before it was killed may take effect this much later, in milliseconds. */
const DEATH_SLACK_MS = 1_000;
/** At least this much is left of a lease of 30 s that is renewed every 10 s, in milliseconds. */
const LEASE_LEFT_MS = 19_000;

/** Everything that is wrong; empty if money is exact. */
export function judge(evidence: Evidence, books: Books): Finding[] {
  const records = new Records(evidence, books);
  const court = new Court(records);
  court.judgeAnswers();
  court.judgeCalls();
  court.judgeHolds();
  court.judgeTransfers();
  court.judgeCorrections();
  court.judgeWallets();
  court.judgeRows();
  court.judgeSums();
  court.judgeCredits();
  return [...court.findings, ...judgeKeys(records)];
}

class Court {
  readonly findings: Finding[] = [];
  readonly #records: Records;
  readonly #evidence: Evidence;
  readonly #books: Books;

  constructor(records: Records) {
    this.#records = records;
    this.#evidence = records.evidence;
    this.#books = records.books;
  }

  #find(claim: Claim, says: string): void {
    this.findings.push({ claim, says });
  }

  judgeAnswers(): void {
    for (const asked of this.#evidence.asked) {
      if (asked.ending === "silent") this.#find("looks whole", `request ${asked.number} ended well and says nothing of being cut`);
      if (asked.ending === "whole") this.#judgeWhole(asked);
      if (asked.ending === "refused") this.#judgeRefused(asked);
      if (asked.ending === "broken" && asked.code === "store_unavailable") this.#judgePutAside(asked);
    }
  }

  #judgeWhole(asked: Asked): void {
    const call = this.#records.callFor(asked);
    if (call === undefined) return this.#find("unheld", `request ${asked.number} was answered and no upstream was asked`);
    if (asked.text !== call.text)
      this.#find("looks whole", `request ${asked.number} got ${asked.text.length} characters of ${call.text.length}`);
    const row = this.#records.rows.get(asked.requestId ?? "");
    if (row === undefined) return this.#find("lost", `request ${asked.number} was whole and has no row`);
    if (row.status !== 200 || row.endReason === "store_unavailable" || row.accountId !== asked.accountId)
      this.#find("lost", `row ${row.id} does not say that account ${asked.accountId} was answered`);
    if (row.basis !== "estimated" || (call.reportsUsage && call.fault === null)) this.#judgeReported(row, call);
    if (row.basis === "estimated" && Math.abs(row.output - TOKENS_PER_CHARACTER * asked.text.length) > 1)
      this.#find("wrong tokens", `row ${row.id} estimates ${row.output} tokens for ${asked.text.length} characters`);
    if (asked.isMetered) return this.#judgeCharged(asked, row);
    if (row.charge !== null) this.#find("wrong charge", `row ${row.id} charges an account that does not pay`);
  }

  #judgeReported(row: RequestRow, call: Call): void {
    const { prompt, cached, completion, reasoning } = call.tokens;
    const said = [prompt, cached, completion, reasoning, 0];
    const kept = [row.input, row.cached, row.output, row.reasoning, row.cacheWrite];
    if (row.basis !== "exact" || !call.reportsUsage || said.some((tokens, n) => tokens !== kept[n]))
      this.#find("wrong tokens", `row ${row.id} (${row.basis}) has ${kept.join(", ")}; the upstream said ${said.join(", ")}`);
  }

  #judgeCharged(asked: Asked, row: RequestRow): void {
    const hold = this.#records.holds.get(asked.number)?.find(({ id }) => id === asked.requestId);
    if (hold === undefined) return this.#find("lost", `request ${asked.number} (${row.id}) was whole and has no hold`);
    if (hold.state !== "settled") this.#find("lost", `request ${asked.number} (${row.id}) was whole and its hold is ${hold.state}`);
  }

  /** An error instead of an answer costs nothing. */
  #judgeRefused(asked: Asked): void {
    for (const hold of this.#records.holdsOf(asked)) {
      const cost = this.#records.costOf(hold);
      if (cost !== 0n) this.#find("wrong charge", `request ${asked.number} (${hold.id}) was refused with ${asked.code} and cost ${cost}`);
    }
  }

  /** Before a client is told that what it costs cannot be stored now, the settlement is on the relay's disk. */
  #judgePutAside(asked: Asked): void {
    for (const hold of this.#records.holdsOf(asked)) {
      if (this.#records.corrections.has(hold.id)) continue;
      const said = `request ${asked.number} (${hold.id}) was put aside to be settled later, and`;
      // If the relay ended a stream because its hold could not grow, it told the client before it settled.
      const isWhole = asked.text === this.#records.callOf(hold)?.text;
      const mayBe = isWhole ? ["settled"] : ["settled", "recovered"];
      if (!mayBe.includes(hold.state)) this.#find("lost", `${said} is ${hold.state}`);
      const row = this.#records.rows.get(hold.id);
      if (isWhole && row?.endReason !== "store_unavailable") this.#find("lost", `${said} its row says ${row?.endReason}`);
    }
  }

  judgeCalls(): void {
    for (const [number, calls] of this.#records.calls) {
      const [asked] = this.#records.tries.get(number) ?? [];
      if (asked === undefined) {
        this.#find("unheld", `the upstream was asked for request ${number}, which nobody sent`);
        continue;
      }
      if (!asked.isMetered && asked.key === null) continue;
      const holds = this.#records.holds.get(number) ?? [];
      const made = Math.min(...holds.map((hold) => hold.createdAt));
      const first = Math.min(...calls.map((call) => call.arrivedAt));
      if (holds.length === 0) this.#find("unheld", `the upstream was asked for request ${number}, which has no hold`);
      else if (made > first + CLOCK_SLACK_MS)
        this.#find("unheld", `the first hold of request ${number} was made ${made - first} ms after the upstream was asked`);
    }
  }

  judgeHolds(): void {
    for (const [number, holds] of this.#records.holds) {
      const [asked] = this.#records.tries.get(number) ?? [];
      for (const hold of holds) this.#judgeHold(number, asked, hold);
      const charged = holds.filter((hold) => this.#records.costOf(hold) !== 0n);
      const [what, many] = asked?.key == null ? ["holds", holds] : ["charged holds", charged];
      if (many.length > 1) this.#find("double", `request ${number} has the ${what} ${many.map(({ id }) => id).join(", ")}`);
    }
  }

  #judgeHold(number: number, asked: Asked | undefined, hold: HoldRow): void {
    if (asked === undefined) return this.#find("double", `hold ${hold.id} is for request ${number}, which nobody sent`);
    if (hold.accountId !== asked.accountId || hold.model !== asked.model)
      this.#find("wrong charge", `hold ${hold.id} is of ${hold.accountId} for ${hold.model}, which did not ask for it`);
    if (hold.idempotencyKey !== asked.key)
      this.#find("ran twice", `hold ${hold.id} has the key ${hold.idempotencyKey}; its client sent ${asked.key}`);
    if ((hold.walletId !== null) !== asked.isMetered || (hold.walletId === null && (hold.charged ?? 0n) !== 0n))
      this.#find("wrong charge", `hold ${hold.id} took ${hold.charged} from ${hold.walletId}`);
    const size = hold.walletId === null ? null : wrongSize(this.#records, asked, hold);
    if (size !== null) this.#find("wrong hold", size);
    switch (hold.state) {
      case "settled":
        return hold.walletId === null ? undefined : this.#judgeSettled(asked, hold);
      case "recovered":
        return this.#judgeRecovered(asked, hold);
      case "voided":
        if (hold.charged !== 0n) this.#find("wrong charge", `hold ${hold.id} was voided and cost ${hold.charged}`);
        return undefined;
      default:
        return this.#find("left open", `hold ${hold.id} is ${hold.state}`);
    }
  }

  #judgeSettled(asked: Asked, hold: HoldRow): void {
    const tokens = hold.basis === "exact" ? this.#reportedTo(hold) : this.#estimated(asked, hold);
    if (tokens === null) return;
    if (tokens.prompt !== hold.inputTokens || tokens.completion !== hold.outputTokens)
      this.#find("wrong tokens", `hold ${hold.id} has ${hold.inputTokens} and ${hold.outputTokens} tokens`);
    const price = priceOf(hold.model, tokens);
    if (hold.charged !== price || hold.writtenOff !== 0n)
      this.#find("wrong charge", `hold ${hold.id} cost ${hold.charged} (${hold.writtenOff} written off); its tokens cost ${price}`);
    // All answers of the upstream are small enough for what was set aside.
    if (price > hold.amount) this.#find("wrong charge", `hold ${hold.id} of ${hold.amount} does not cover ${price}`);
  }

  #reportedTo(hold: HoldRow): Tokens | null {
    const call = this.#records.callOf(hold);
    if (call?.reportsUsage === true) return call.tokens;
    this.#find("wrong tokens", `hold ${hold.id} is settled as exact, and the upstream reported nothing`);
    return null;
  }

  /** An estimate is bounded by the request that was sent, by what the upstream meant to say, and by what the client got. */
  #estimated(asked: Asked, hold: HoldRow): Tokens | null {
    const heard = Math.floor(this.#records.charactersHeard(hold) * TOKENS_PER_CHARACTER);
    const isTooMuch = !this.#isWithin(asked, hold);
    if (isTooMuch || hold.outputTokens < heard) {
      const which = isTooMuch ? "which is too many" : `and ${heard} were delivered`;
      this.#find("wrong tokens", `hold ${hold.id} (${hold.basis}) has ${hold.inputTokens} and ${hold.outputTokens} tokens, ${which}`);
      return null;
    }
    return { prompt: hold.inputTokens, cached: 0, completion: hold.outputTokens, reasoning: 0 };
  }

  #isWithin(asked: Asked, hold: HoldRow): boolean {
    const said = this.#records.charactersSaid(asked.number);
    const [inputMax, outputMax] = [asked.bodyBytes, said].map((characters) => Math.ceil(characters * TOKENS_PER_CHARACTER) + 1);
    return hold.inputTokens <= (inputMax ?? 0) && hold.outputTokens <= (outputMax ?? 0);
  }

  /** The last checkpoint, at most what was set aside, and at most what could have been delivered. */
  #judgeRecovered(asked: Asked, hold: HoldRow): void {
    const charged = hold.charged ?? 0n;
    const noted = hold.checkpointCharge < hold.amount ? hold.checkpointCharge : hold.amount;
    if (charged !== noted || hold.writtenOff !== 0n)
      this.#find("wrong recovery", `hold ${hold.id} cost ${charged}, its last checkpoint ${hold.checkpointCharge}`);
    if (hold.checkpointSeq === 0 && charged !== 0n) this.#find("wrong recovery", `hold ${hold.id} has no checkpoint and cost ${charged}`);
    this.#judgeDeath(hold);
    const isPriced =
      charged === 0n ||
      charged === priceOf(hold.model, { prompt: hold.inputTokens, cached: 0, completion: hold.outputTokens, reasoning: 0 });
    if (!isPriced)
      this.#find("wrong charge", `hold ${hold.id} was recovered at ${charged}, which is not the price of its checkpoint's tokens`);
    if (charged !== 0n && !this.#isWithin(asked, hold))
      this.#find("wrong recovery", `hold ${hold.id} counts ${hold.inputTokens} and ${hold.outputTokens} tokens, which is too many`);
  }

  /** A relay recovers only holds of dead relays, and holds of another relay only after that relay's lease. */
  #judgeDeath(hold: HoldRow): void {
    const closedAt = hold.closedAt ?? 0;
    const isOf = ({ node, at }: Death): boolean => hold.node.endsWith(node) && at >= hold.createdAt - DEATH_SLACK_MS && at <= closedAt;
    const death = this.#evidence.deaths.find(isOf);
    if (death === undefined) return this.#find("wrong recovery", `hold ${hold.id} was recovered, and its relay lived`);
    if (death.isForGood && closedAt - death.at < LEASE_LEFT_MS)
      this.#find("wrong recovery", `hold ${hold.id} was ended by another relay ${closedAt - death.at} ms after the death of its own`);
  }

  /** Usage is charged once for a hold, and adds up to what the hold says. */
  judgeTransfers(): void {
    const usage = this.#books.transfers.filter((transfer) => transfer.code === "usage" || transfer.code === "usage_promo");
    const byHold = Map.groupBy(usage, (transfer) => transfer.holdId);
    const holds = new Map(this.#books.holds.map((hold) => [hold.id, hold]));
    for (const [id, transfers] of byHold) {
      const hold = holds.get(id ?? "");
      const sum = transfers.reduce((total, transfer) => total + transfer.amount, 0n);
      const codes = new Set(transfers.map((transfer) => transfer.code));
      if (codes.size < transfers.length || sum !== (hold?.charged ?? 0n))
        this.#find("double", `hold ${id} says ${hold?.charged ?? "nothing"}; its ${transfers.length} transfers move ${sum}`);
    }
    for (const hold of this.#books.holds)
      if ((hold.charged ?? 0n) !== 0n && !byHold.has(hold.id))
        this.#find("lost", `hold ${hold.id} cost ${hold.charged} and nothing was moved`);
  }

  /** What a hold cost in the end is the price of what its row says, and the row says what the upstream did. */
  judgeCorrections(): void {
    const holds = new Map(this.#books.holds.map((hold) => [hold.id, hold]));
    for (const { holdId, cost } of this.#books.corrections) {
      const [hold, row] = [holds.get(holdId), this.#records.rows.get(holdId)];
      if (hold === undefined || row === undefined) {
        this.#find("lost", `hold ${holdId} was corrected and is not there, or has no row`);
        continue;
      }
      const tries = this.#records.tries.get(this.#records.numberOf(hold)) ?? [];
      const isRefused = tries.some((asked) => asked.ending === "refused" && (asked.key === null || asked.requestId === holdId));
      const tokens = { prompt: row.input, cached: row.cached, completion: row.output, reasoning: row.reasoning };
      const price = isRefused ? 0n : priceOf(hold.model, tokens);
      if (cost !== price || this.#records.costOf(hold) !== price)
        this.#find("wrong charge", `hold ${holdId} was corrected to ${cost}; its tokens cost ${price}`);
      const call = this.#records.callOf(hold);
      if (row.basis === "exact" && call !== undefined) this.#judgeReported(row, call);
    }
  }

  /** Each wallet has what was given to it, less what its requests were charged. */
  judgeWallets(): void {
    const { wallets, lots, holds } = this.#books;
    for (const wallet of wallets) {
      const given = sumOf(lots.filter((lot) => lot.walletId === wallet.id).map((lot) => lot.amount));
      const charged = sumOf(holds.filter((hold) => hold.accountId === wallet.accountId).map((hold) => this.#records.costOf(hold)));
      if (wallet.balance !== given - charged || wallet.balance < 0n)
        this.#find("wrong balance", `${wallet.id} has ${wallet.balance}: it was given ${given} and charged ${charged}`);
      const open = sumOf(holds.filter((hold) => hold.accountId === wallet.accountId && hold.state === "open").map((hold) => hold.amount));
      if (wallet.held !== open) this.#find("wrong balance", `${wallet.id} holds ${wallet.held}, its open holds ${open}`);
    }
  }

  /** A hold that cost something has a row that says so, and nothing else has. */
  judgeRows(): void {
    for (const hold of this.#books.holds) {
      const row = this.#records.rows.get(hold.id);
      const cost = hold.walletId === null ? null : this.#records.costOf(hold);
      if (row === undefined && hold.state !== "voided") this.#find("lost", `hold ${hold.id} is ${hold.state} and has no row`);
      if (row !== undefined && !isOfUnknownHold(row, hold) && row.charge !== cost)
        this.#find("wrong charge", `row ${hold.id} (${row.endReason}) says ${row.charge}, its hold (${hold.state}) ${cost}`);
    }
    const holds = new Set(this.#books.holds.map(({ id }) => id));
    for (const row of this.#books.requests)
      if (row.charge !== null && !holds.has(row.id)) this.#find("wrong charge", `row ${row.id} charges ${row.charge} and has no hold`);
  }

  judgeSums(): void {
    const rows = Map.groupBy(this.#books.requests, (row) => row.accountId);
    const sums = new Map(this.#books.sums.map((sum) => [sum.accountId, sum]));
    for (const accountId of new Set([...rows.keys(), ...sums.keys()])) {
      const own = rows.get(accountId) ?? [];
      const charge = sumOf(own.map((row) => row.charge ?? 0n));
      const sum = sums.get(accountId);
      if (sum?.requests !== BigInt(own.length) || sum.charge !== charge)
        this.#find(
          "wrong sums",
          `the sums of ${accountId} have ${sum?.requests} requests for ${sum?.charge}, its rows ${own.length} for ${charge}`,
        );
    }
  }

  judgeCredits(): void {
    const wallets = new Map(this.#books.wallets.map((wallet) => [wallet.id, wallet.accountId]));
    const lots = Map.groupBy(this.#books.lots, (lot) => lot.reference);
    for (const credit of this.#evidence.credits) {
      const found = lots.get(credit.reference) ?? [];
      lots.delete(credit.reference);
      if (found.length === 0 && !credit.isConfirmed) continue;
      const [lot] = found;
      if (found.length !== 1 || lot?.amount !== credit.nanos || wallets.get(lot.walletId) !== credit.accountId)
        this.#find(
          "wrong credit",
          `credit ${credit.reference} of ${credit.nanos} is there as ${found.map(({ amount }) => amount).join(", ")}`,
        );
    }
    for (const reference of lots.keys()) this.#find("wrong credit", `credit ${reference} was never given`);
  }
}

function sumOf(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

/**
 * Refused because nobody knew whether its hold was made, or left by its client before that was known, a request says nothing of
 * money. A hold that was made all the same is voided because the store had not answered, or, where the relay died before it could
 * do so, recovered; without a checkpoint that costs nothing either.
 */
function isOfUnknownHold(row: RequestRow, hold: HoldRow): boolean {
  if (row.charge !== null || hold.basis !== "none" || hold.charged !== 0n) return false;
  const isOrphan = hold.state === "recovered" || (hold.state === "voided" && hold.endReason === "store_unavailable");
  return isOrphan && (row.endReason === "refused" || row.endReason === "client_gone");
}
