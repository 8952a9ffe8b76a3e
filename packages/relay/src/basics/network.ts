/** Lists of client addresses and networks. */
import { BlockList, isIPv6 } from "node:net";

/** @param entries checked with {@link networkFault}. */
export function networkList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", bits] = entry.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** @param address as a socket has it; an IPv4 address may be in IPv6 form. */
export function isInNetworks(list: BlockList, address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return list.check(plain, isIPv6(plain) ? "ipv6" : "ipv4");
}

/** What is wrong with an entry, or null: an address, or a network as `10.0.0.0/8`. */
export function networkFault(entry: string): string | null {
  try {
    networkList([entry]);
    return /^[0-9a-fA-F.:]+(?:\/\d{1,3})?$/.test(entry) ? null : "is no address";
  } catch {
    return "is no address and no network such as 10.0.0.0/8";
  }
}
