/** What the books say of one request. */
import type { Correction, Hold, LotMove, Transfer } from "./state.ts";

/** All that moved for one request. The net charge is what the hold was charged, and the correction's difference. */
export interface LedgerReceipt {
  readonly hold: Omit<Hold, "windowIds">;
  readonly correction: Correction | null;
  readonly transfers: readonly Transfer[];
  readonly lotMoves: readonly LotMove[];
}
