/** The relay's own numbers in Prometheus' text format. Labels are bounded: models and upstreams of the configuration. */

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const SMALL_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
/** Label sets for each metric; further ones are counted together, under a label that says so. */
const SERIES_MAX = 2_000;

type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  render(): string[];
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`)
    .join(",");
}

class Counter implements Family {
  readonly type = "counter";
  readonly name: string;
  readonly help: string;
  readonly #values = new Map<string, number>();

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  add(labels: Labels, amount = 1): void {
    let key = labelText(labels);
    if (!this.#values.has(key) && this.#values.size >= SERIES_MAX) key = 'overflow="true"';
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
  }

  render(): string[] {
    return [...this.#values].map(([labels, value]) => `${this.name}${labels === "" ? "" : `{${labels}}`} ${value}`);
  }
}

class Gauge implements Family {
  readonly type = "gauge";
  readonly name: string;
  readonly help: string;
  readonly #read: () => readonly (readonly [Labels, number])[];

  constructor(name: string, help: string, read: () => readonly (readonly [Labels, number])[]) {
    this.name = name;
    this.help = help;
    this.#read = read;
  }

  render(): string[] {
    return this.#read().map(
      ([labels, value]) => `${this.name}${Object.keys(labels).length === 0 ? "" : `{${labelText(labels)}}`} ${value}`,
    );
  }
}

interface Series {
  readonly counts: Float64Array;
  sum: number;
  count: number;
}

class Histogram implements Family {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
  }

  /** A place for values with these labels. Keep it if values come often. */
  series(labels: Labels): Series {
    let key = labelText(labels);
    if (!this.#series.has(key) && this.#series.size >= SERIES_MAX) key = 'overflow="true"';
    let series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, (series = { counts: new Float64Array(this.#bounds.length), sum: 0, count: 0 }));
    return series;
  }

  /** @param value in the metric's unit (seconds). */
  put(series: Series, value: number): void {
    series.sum += value;
    series.count += 1;
    for (let i = 0; i < this.#bounds.length; i++) {
      if (value <= (this.#bounds[i] ?? 0)) {
        series.counts[i] = (series.counts[i] ?? 0) + 1;
        return;
      }
    }
  }

  observe(labels: Labels, value: number): void {
    this.put(this.series(labels), value);
  }

  render(): string[] {
    return [...this.#series].flatMap(([labels, series]) => this.#lines(labels, series));
  }

  #lines(labels: string, series: Series): string[] {
    const head = labels === "" ? "" : `${labels},`;
    const lines: string[] = [];
    let total = 0;
    this.#bounds.forEach((bound, i) => {
      total += series.counts[i] ?? 0;
      lines.push(`${this.name}_bucket{${head}le="${bound}"} ${total}`);
    });
    const tail = labels === "" ? "" : `{${labels}}`;
    lines.push(
      `${this.name}_bucket{${head}le="+Inf"} ${series.count}`,
      `${this.name}_sum${tail} ${series.sum}`,
      `${this.name}_count${tail} ${series.count}`,
    );
    return lines;
  }
}

/** The sources that gauges are read from at each scrape. */
export interface GaugeSources {
  streamsActive(): number;
  rowsWaiting(): number;
  upstreams(): readonly { upstream: string; inFlight: number; inFlightMax: number; cooldownMs: number }[];
  limits?(): { readonly subjects: number; readonly inFlight: number };
  configuration?(): ConfigurationGauges;
}

interface ConfigurationGauges {
  /** Null where it has no number yet. */
  readonly revision: number | null;
  /** Names of what was changed and holds only after a restart. */
  readonly needsRestart: readonly string[];
}

export class Metrics {
  readonly requests = new Counter("millrace_requests_total", "Requests by endpoint, model, upstream and status.");
  readonly attempts = new Counter("millrace_upstream_attempts_total", "Attempts at an upstream by outcome.");
  readonly streamEnds = new Counter("millrace_stream_end_total", "Streams by how they ended.");
  readonly tokens = new Counter("millrace_tokens_total", "Tokens by model and type, as reported or estimated.");
  readonly overhead = new Histogram(
    "millrace_overhead_seconds",
    "Time that the relay added before the first byte of an answer.",
    SMALL_SECONDS,
  );
  readonly ttft = new Histogram(
    "millrace_time_to_first_token_seconds",
    "Time from the request received to the first content sent.",
    SECONDS,
  );
  readonly interToken = new Histogram("millrace_inter_token_seconds", "Time between two content events of a stream.", SECONDS);
  readonly duration = new Histogram(
    "millrace_request_duration_seconds",
    "Time from the request received to the end of its answer.",
    SECONDS,
  );
  readonly operationDuration = new Histogram("gen_ai_client_operation_duration_seconds", "Duration of one call to an upstream.", SECONDS);
  readonly timeToFirstChunk = new Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Time from a request sent to an upstream to its first content.",
    SECONDS,
  );
  readonly refusals = new Counter("millrace_refusals_total", "Requests that the relay turned away before any upstream, by code.");
  /** Metrics count money in dollars as floats; the exact amounts are in the ledger. */
  readonly charged = new Counter("millrace_charged_usd_total", "What accounts were charged in USD, by model and basis.");
  readonly writtenOff = new Counter("millrace_written_off_usd_total", "Cost in USD above what an account had left, which nobody pays.");
  readonly unpriced = new Counter("millrace_unpriced_requests_total", "Requests with tokens whose cost the relay does not know.");
  readonly tokenUsage = new Histogram(
    "gen_ai_client_token_usage",
    "Tokens of one call to an upstream.",
    [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
  );
  readonly reloads = new Counter("millrace_config_reloads_total", "Loads of the configuration while the relay ran, by result.");
  readonly loopLag = new Histogram(
    "millrace_event_loop_lag_seconds",
    "How late the event loop was, sampled twice a second.",
    SMALL_SECONDS,
  );
  readonly #families: Family[];

  constructor(sources: GaugeSources) {
    this.#families = [
      this.requests,
      this.attempts,
      this.streamEnds,
      this.tokens,
      this.overhead,
      this.ttft,
      this.interToken,
      this.duration,
      this.operationDuration,
      this.timeToFirstChunk,
      this.refusals,
      this.charged,
      this.writtenOff,
      this.unpriced,
      this.tokenUsage,
      this.reloads,
      this.loopLag,
      new Gauge("millrace_streams_active", "Requests whose answer has not ended.", () => [[{}, sources.streamsActive()]]),
      new Gauge("millrace_rows_waiting", "Rows that the store has not confirmed yet.", () => [[{}, sources.rowsWaiting()]]),
      new Gauge("millrace_upstream_in_flight", "Calls in flight per upstream.", () =>
        sources.upstreams().map((of) => [{ upstream: of.upstream }, of.inFlight] as const),
      ),
      new Gauge("millrace_upstream_in_flight_max", "Calls that may be in flight per upstream.", () =>
        sources.upstreams().map((of) => [{ upstream: of.upstream }, of.inFlightMax] as const),
      ),
      new Gauge("millrace_upstream_cooldown_seconds", "Time until the relay asks a resting upstream again.", () =>
        sources.upstreams().map((of) => [{ upstream: of.upstream }, of.cooldownMs / 1000] as const),
      ),
      new Gauge("millrace_limited_in_flight", "Requests in flight that hold a slot of their account, key or model.", () => [
        [{}, sources.limits?.().inFlight ?? 0],
      ]),
      new Gauge("millrace_limited_subjects", "Accounts, keys and models of accounts whose limits the relay counts.", () => [
        [{}, sources.limits?.().subjects ?? 0],
      ]),
      new Gauge("millrace_config_revision", "Number of the configuration in force.", () => {
        const revision = sources.configuration?.().revision ?? null;
        return revision === null ? [] : [[{}, revision]];
      }),
      new Gauge(
        "millrace_config_needs_restart",
        "1 for each part of the configuration that has changed and takes effect only after a restart.",
        () => (sources.configuration?.().needsRestart ?? []).map((key) => [{ key }, 1] as const),
      ),
      new Gauge("process_resident_memory_bytes", "Resident memory.", () => [[{}, process.memoryUsage.rss()]]),
    ];
  }

  render(): string {
    const lines = this.#families.flatMap((family) => [
      `# HELP ${family.name} ${family.help}`,
      `# TYPE ${family.name} ${family.type}`,
      ...family.render(),
    ]);
    return `${lines.join("\n")}\n`;
  }
}
