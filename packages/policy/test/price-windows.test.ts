import { calendarNamed, calendarNames, isCovered, isHoliday, utcClock } from "@millrace/policy/calendar";
import { isOpen, type PriceWindow } from "@millrace/policy/price";
import { parseDays, parseInstant, parseUtcRanges } from "@millrace/policy/price-times";
import { parseMarkup, parseRatio, readWrittenPrice } from "@millrace/policy/price-written";
import { describe, expect, test } from "vitest";

const CN = calendarNamed("cn");

/** DeepSeek's peak. */
const PEAK: PriceWindow = {
  name: "peak",
  utcMinutes: [
    [60, 240],
    [360, 600],
  ],
  weekdays: [1, 2, 3, 4, 5],
  exceptHolidays: "cn",
  rates: { numerator: 2n, denominator: 1n },
};

const openAt = (instant: string): boolean => isOpen(PEAK, Date.parse(instant));

describe("DeepSeek's peak", () => {
  test("is open from 01:00 up to 04:00 and from 06:00 up to 10:00 UTC on a weekday", () => {
    const times = ["00:59:59.999", "01:00:00", "03:59:59.999", "04:00:00", "05:59:59", "06:00:00", "09:59:59.999", "10:00:00", "23:00:00"];
    expect(times.map((time) => openAt(`2026-11-18T${time}Z`))).toEqual([false, true, true, false, false, true, true, false, false]);
  });

  test("is closed at weekends, those that are worked in exchange for a holiday too", () => {
    for (const day of ["2026-11-21", "2026-11-22", "2026-02-14", "2026-10-10"]) expect(openAt(`${day}T02:00:00Z`), day).toBe(false);
  });

  test("is closed on every Chinese public holiday of 2026 that falls on a weekday", () => {
    const days = [
      "01-01",
      "01-02",
      "02-16",
      "02-17",
      "02-18",
      "02-19",
      "02-20",
      "02-23",
      "04-06",
      "05-01",
      "05-04",
      "05-05",
      "06-19",
      "09-25",
    ];
    const national = ["10-01", "10-02", "10-05", "10-06", "10-07"];
    const closed: string[] = [];
    for (let at = Date.UTC(2026, 0, 1, 2); at < Date.UTC(2027, 0, 1); at += 86_400_000) {
      const isWeekday = PEAK.weekdays.includes(new Date(at).getUTCDay());
      if (isWeekday && !isOpen(PEAK, at)) closed.push(new Date(at).toISOString().slice(5, 10));
    }
    expect(closed).toEqual([...days, ...national]);
  });
});

describe("a calendar", () => {
  test("counts days by the clock of its own place", () => {
    expect(CN).not.toBeNull();
    if (CN === null) return;
    expect(isHoliday(CN, Date.parse("2026-09-30T15:59:59Z"))).toBe(false);
    expect(isHoliday(CN, Date.parse("2026-09-30T16:00:00Z"))).toBe(true);
    expect(isHoliday(CN, Date.parse("2026-10-07T15:59:59Z"))).toBe(true);
    expect(isHoliday(CN, Date.parse("2026-10-07T16:00:00Z"))).toBe(false);
  });

  test("says which years it knows, and where from", () => {
    for (const calendar of calendarNames().map(calendarNamed)) {
      for (const year of calendar?.years ?? []) {
        expect(year.source.length).toBeGreaterThan(10);
        expect(year.published).toMatch(/^\d{4}-\d{2}-\d{2}$/);
        for (const [name, from, to] of year.holidays) expect(from <= to, name).toBe(true);
      }
    }
    if (CN === null) return;
    expect([2025, 2026, 2027].map((year) => isCovered(CN, Date.UTC(year, 5)))).toEqual([false, true, false]);
    expect(isHoliday(CN, Date.parse("2027-10-01T02:00:00Z"))).toBe(false);
  });

  test("and the clock agree with the platform's own, before 1970 too", () => {
    for (const at of [0, -1, -86_400_001, 951_782_400_000, 1_795_312_345_678]) {
      const date = new Date(at);
      expect(utcClock(at)).toEqual({ minute: date.getUTCHours() * 60 + date.getUTCMinutes(), weekday: date.getUTCDay() });
    }
  });
});

describe("a written", () => {
  test.each([
    [
      "01:00-04:00, 06:00-10:00",
      [
        [60, 240],
        [360, 600],
      ],
    ],
    [
      "16:30-00:30",
      [
        [990, 1440],
        [0, 30],
      ],
    ],
    ["22:00-00:00", [[1320, 1440]]],
    ["00:00-24:00", [[0, 1440]]],
  ])("time of day %s is understood", (text, meant) => expect(parseUtcRanges(text)).toEqual({ value: meant }));

  test.each(["", "1:00-2:00", "01:00", "01:00-01:00", "24:00-01:00", "01:00-25:00", "01:00-24:01", "01:00-02:60", "01:00-02:00,"])(
    "time of day %j is refused",
    (text) => expect(parseUtcRanges(text)).toHaveProperty("fault"),
  );

  test("weekday is a name, a list or a range, over the end of the week too", () => {
    expect(parseDays("mon-fri")).toEqual({ value: [1, 2, 3, 4, 5] });
    expect(parseDays("Sat, sun")).toEqual({ value: [0, 6] });
    expect(parseDays("fri-mon")).toEqual({ value: [0, 1, 5, 6] });
    for (const text of ["", "monday", "mon-", "mon-wed-fri", 1]) expect(parseDays(text)).toHaveProperty("fault");
  });

  test("instant is a date or has seconds and a Z", () => {
    expect(parseInstant("2026-09-10")).toEqual({ value: Date.UTC(2026, 8, 10) });
    expect(parseInstant("2026-08-16T16:00:00Z")).toEqual({ value: Date.UTC(2026, 7, 16, 16) });
    for (const text of ["2026-02-30", "2026-13-01", "10.9.2026", "2026-08-16T16:00:00", "2026-08-16T16:00:00+08:00", 20260910])
      expect(parseInstant(text)).toHaveProperty("fault");
  });

  test("ratio is a decimal or a fraction, and more than 0", () => {
    expect(parseRatio("1/3")).toEqual({ value: { numerator: 1n, denominator: 3n } });
    expect(parseRatio("0.5")).toEqual({ value: { numerator: 500_000n, denominator: 1_000_000n } });
    for (const text of ["0", "-1", "1/0", "0/1", "2x", 2]) expect(parseRatio(text)).toHaveProperty("fault");
    expect(parseMarkup("1.25")).toEqual({ value: 1_250_000n });
    expect(parseMarkup("-1")).toHaveProperty("fault");
  });
});

describe("a price as it is written", () => {
  const plain = { input: "0.15", cached_input: "0.003", output: "0.60" };
  const faults = (written: Record<string, unknown>): string[] => {
    const read = readWrittenPrice(written);
    return "faults" in read ? read.faults.map(({ path, fault }) => `${path.join(".")} ${fault}`) : [];
  };

  test("becomes integers, and what it does not say is as the document says", () => {
    const read = readWrittenPrice(plain);
    expect("price" in read ? read.price : read).toEqual({
      effectiveFromMs: 0,
      kinds: { input: 150_000n, cachedInput: 3000n, cacheWrite5m: 150_000n, cacheWrite1h: 150_000n, output: 600_000n, reasoning: null },
      bands: [],
      windows: [],
      perRequestNanos: 0n,
      markupPpm: 1_000_000n,
    });
  });

  test("must say what cached input costs, be it the same", () => {
    expect(faults({ input: "1", output: "2" })).toEqual(["cached_input is missing"]);
    expect(faults({ input: "1", cached_input: "same", output: "2" })).toEqual([]);
    expect(faults({ input: "same", cached_input: "1", output: "2" })).toHaveLength(1);
  });

  test("tells all of its faults at once, each with its place", () => {
    const band = { above: 10, ...plain };
    const written = {
      ...plain,
      input: 0.15,
      per_request: "-1",
      from: "yesterday",
      bands: [band, { ...band, above: 10 }, { ...band, above: 20, output: "half" }],
      windows: [
        { name: "w", utc: "1-2", times: "1/7", except_holidays: "mars" },
        { name: "x", utc: "01:00-02:00" },
      ],
    };
    expect(faults(written).map((line) => line.split(" ")[0])).toEqual([
      "input",
      "bands.2.output",
      "bands.1.above",
      "from",
      "windows.0.except_holidays",
      "windows.0.utc",
      "windows.0.times",
      "windows.1",
      "per_request",
    ]);
  });

  test("may not be cheaper for longer prompts", () => {
    expect(faults({ ...plain, bands: [{ ...plain, above: 10, output: "0.5" }] })).toEqual([
      "bands.0 must not be cheaper than the prices below it",
    ]);
  });

  test("may have windows with prices of their own, bands included", () => {
    const read = readWrittenPrice({
      ...plain,
      windows: [{ name: "night", utc: "16:30-00:30", input: "0.1", cached_input: "0.002", output: "0.2", bands: [{ above: 5, ...plain }] }],
    });
    expect("price" in read ? read.price.windows[0]?.rates : read).toMatchObject({
      kinds: { cachedInput: 2000n },
      bands: [{ aboveInputTokens: 5 }],
    });
  });
});
