/** What the attempts at an upstream used: what its provider bills, whatever became of the requests. */
import type { UpstreamDay, UpstreamSum } from "../../control/ports.ts";
import { read } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";

const TOKENS = ["input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
  .map((name) => `CAST(COALESCE(SUM(a.${name}), 0) AS BIGINT) AS ${name}`)
  .join(", ");

/** An error status or a connection that never stood costs nothing; everything else may have been worked on, and billed. */
const IS_WITHOUT_USAGE = "a.input_tokens IS NULL AND a.outcome <> 'connect' AND (a.status IS NULL OR a.status BETWEEN 200 AND 299)";

/** A request's cost is the sum of its attempts', so it is an attempt's own where no other attempt has a usage. */
const IS_PRICED =
  "r.cost_nanos IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.request_id = a.request_id AND o.n <> a.n AND o.input_tokens IS NOT NULL)";

const COUNTS = `count(*) AS attempts, CAST(SUM(CASE WHEN ${IS_WITHOUT_USAGE} THEN 1 ELSE 0 END) AS BIGINT) AS without_usage, ${TOKENS},
  CAST(COALESCE(SUM(CASE WHEN a.input_tokens IS NOT NULL AND ${IS_PRICED} THEN r.cost_nanos END), 0) AS BIGINT) AS cost_nanos,
  CAST(SUM(CASE WHEN a.input_tokens IS NOT NULL AND NOT (${IS_PRICED}) THEN 1 ELSE 0 END) AS BIGINT) AS unpriced`;

/** Requests of the day by their index, and the attempts of each by their key. */
export function* readUpstreamDay({ upstream, fromMs, toMs, afterModel, limit }: UpstreamDay): Sql<UpstreamSum[]> {
  const rows = yield* read(
    `SELECT a.upstream_model, ${COUNTS} FROM requests r JOIN attempts a ON a.request_id = r.id
      WHERE r.at >= ? AND r.at < ? AND a.upstream = ?${afterModel === null ? "" : " AND a.upstream_model > ?"}
      GROUP BY a.upstream_model ORDER BY a.upstream_model LIMIT ?`,
    [fromMs, toMs, upstream, ...(afterModel === null ? [] : [afterModel]), limit],
  );
  return rows.map((row) => ({
    upstreamModel: String(row["upstream_model"]),
    attempts: Number(row["attempts"]),
    withoutUsage: Number(row["without_usage"]),
    inputTokens: Number(row["input_tokens"]),
    cachedInputTokens: Number(row["cached_input_tokens"]),
    cacheWriteTokens: Number(row["cache_write_tokens"]),
    outputTokens: Number(row["output_tokens"]),
    reasoningTokens: Number(row["reasoning_tokens"]),
    costNanos: Number(row["unpriced"]) === 0 ? (row["cost_nanos"] as bigint) : null,
  }));
}
