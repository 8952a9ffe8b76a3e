/** Amounts as JSON has them: twice, as decimal text in USD and as an integer's text in nano-USD. */
import { formatUsd, nanos } from "./money.ts";

/** `charge` and `charge_nanos`. */
export type MoneyMembers<Name extends string, Text> = { [Member in Name | `${Name}_nanos`]: Text };

/** @param amount nano-USD. */
export function money<Name extends string>(name: Name, amount: bigint): MoneyMembers<Name, string> {
  return { [name]: formatUsd(nanos(amount)), [`${name}_nanos`]: String(amount) } as MoneyMembers<Name, string>;
}

/** @param amount nano-USD, or null if the amount is not known or does not exist. */
export function moneyOrNull<Name extends string>(name: Name, amount: bigint | null): MoneyMembers<Name, string | null> {
  return amount === null ? ({ [name]: null, [`${name}_nanos`]: null } as MoneyMembers<Name, null>) : money(name, amount);
}
