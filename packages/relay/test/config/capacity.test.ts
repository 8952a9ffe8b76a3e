import { expect, test } from "vitest";
import { CAPACITY, capacityOf } from "../../src/config/capacity.ts";

const MIB = 1024 * 1024;
const plenty = { filesMax: 1_048_576, memoryBytes: 256 * 1024 * MIB, heapBytes: 64 * 1024 * MIB };

test.each([
  ["files are scarce", { ...plenty, filesMax: 1_024 }, { connectionsMax: 512, callsMax: 384 }],
  ["nobody says how many files may be open", { ...plenty, filesMax: null }, { connectionsMax: 10_000, callsMax: 7_500 }],
  ["memory is scarce", { ...plenty, memoryBytes: 512 * MIB }, { connectionsMax: 524_288, callsMax: 512 }],
  ["the heap is scarce", { ...plenty, heapBytes: 256 * MIB }, { connectionsMax: 524_288, callsMax: 2_048 }],
  ["hardly anything is allowed", { filesMax: 10, memoryBytes: MIB, heapBytes: MIB }, { connectionsMax: 64, callsMax: 16 }],
])("where %s, that decides how many calls the process carries", (_name, limits, capacity) => {
  expect(capacityOf(limits)).toEqual(capacity);
});

test("calls, clients and what is left for the store fit into the files that may be open", () => {
  for (const filesMax of [256, 1_024, 4_096, 20_000, 1_048_576]) {
    const { connectionsMax, callsMax } = capacityOf({ ...plenty, filesMax });
    expect(connectionsMax + callsMax).toBeLessThanOrEqual(filesMax - filesMax / 8);
  }
});

test("this process carries more than 200 calls", () => {
  expect(CAPACITY.callsMax).toBeGreaterThan(200);
});
