/** The log: one line a request, JSON or text, on standard error. No prompt, no answer, no secret. */
import { pino } from "pino";
import type { Logger } from "pino";
import { LineWriter } from "./line-writer.ts";
import { endpointNames } from "./endpoint-names.ts";
import type { RequestRow } from "./row.ts";

export interface Log {
  request(row: RequestRow): void;
  /** A request that was refused before its account was known. */
  refusal(requestId: string, status: number, code: string): void;
  info(message: string): void;
  trouble(message: string): void;
  /** Writes out the buffered lines, within a second; for the end of the process. */
  flush(): Promise<void>;
}

export interface LogSettings {
  readonly level: string;
  readonly format: "json" | "text";
  /** Where lines go; a file descriptor or a stream with `write`. */
  readonly destination?: { write(line: string): void };
}

/** Makes the log. */
export function openLog(settings: LogSettings): Log {
  const standardError = new LineWriter(2);
  const file = settings.destination ?? standardError;
  const flush = (): Promise<void> => standardError.flush();
  const logger = pino(
    { level: settings.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    file,
  );
  return settings.format === "json" ? jsonLog(logger, flush) : textLog(logger, file, flush);
}

function jsonLog(logger: Logger, flush: () => Promise<void>): Log {
  return {
    request: (row) => logger.info(fieldsOf(row), "request"),
    refusal: (requestId, status, code) => logger.info({ request_id: requestId, status, error_code: code }, "refused"),
    info: (message) => logger.info(message),
    trouble: (message) => logger.error(message),
    flush,
  };
}

function textLog(logger: Logger, file: { write(line: string): unknown }, flush: () => Promise<void>): Log {
  const line = (text: string): void => void file.write(`${new Date().toISOString()} ${text}\n`);
  return {
    request: (row) => {
      if (logger.isLevelEnabled("info"))
        line(
          `${row.status} ${row.endpoint} ${row.model} -> ${row.upstream ?? "-"} ${row.endReason} ${Math.round(row.durationMs)} ms ${row.id}`,
        );
    },
    refusal: (requestId, status, code) => {
      if (logger.isLevelEnabled("info")) line(`${status} refused ${code} ${requestId}`);
    },
    info: (message) => {
      if (logger.isLevelEnabled("info")) line(message);
    },
    trouble: (message) => {
      if (logger.isLevelEnabled("error")) line(`error: ${message}`);
    },
    flush,
  };
}

function fieldsOf(row: RequestRow): Record<string, unknown> {
  return {
    request_id: row.id,
    account_id: row.accountId,
    key_id: row.keyId,
    ...endpointNames(row.endpoint),
    model: row.model,
    upstream: row.upstream,
    stream: row.isStream,
    status: row.status,
    end_reason: row.endReason,
    ...(row.errorCode === null ? {} : { error_code: row.errorCode }),
    ...(row.marks.length === 0 ? {} : { marks: row.marks }),
    input_tokens: row.usage.input,
    output_tokens: row.usage.output,
    usage_basis: row.basis,
    ttft_ms: rounded(row.ttftMs),
    overhead_ms: rounded(row.overheadMs),
    duration_ms: rounded(row.durationMs),
    attempts: row.attempts.map((attempt) => ({
      upstream: attempt.upstream,
      outcome: attempt.outcome,
      ...(attempt.detail === null ? {} : { detail: attempt.detail }),
    })),
  };
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 100) / 100;
}
