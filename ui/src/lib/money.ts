/** Money as the API gives it: billionths of a US dollar, integer. `null` is unpriced, which is not zero. */
export type NanoUsd = number;

/** An amount for people. Small amounts keep the digits that tell them apart. */
export function money(nano: NanoUsd): string {
  const dollars = nano / 1e9;
  const size = Math.abs(dollars);
  if (size === 0) return "$0";
  if (size >= 1000) return group(dollars, 0);
  if (size >= 0.995) return group(dollars, 2);
  if (size < 0.000001) return dollars < 0 ? ">-$0.000001" : "<$0.000001";
  const digits = Math.min(6, 2 - Math.floor(Math.log10(size)));
  return group(dollars, Math.max(2, digits));
}

/** The exact amount, for titles. */
export function exactMoney(nano: NanoUsd): string {
  const text = (Math.abs(nano) / 1e9).toFixed(9).replace(/0+$/, "").replace(/\.$/, "");
  return `${nano < 0 ? "-" : ""}$${text} USD`;
}

function group(dollars: number, digits: number): string {
  const text = Math.abs(dollars).toLocaleString("en-US", {
    minimumFractionDigits: Math.min(2, digits),
    maximumFractionDigits: digits,
  });
  return `${dollars < 0 ? "-" : ""}$${text}`;
}
