/** Writes text as it is in the sources, with what belongs into it: this page has no translations yet. */
export const trans = {
  __: (text: string, ...values: (string | number)[]): string =>
    text.replace(/%(\d)/g, (whole, at: string) => String(values[Number(at) - 1] ?? whole)),
  _n: (one: string, many: string, count: number, ...values: (string | number)[]): string =>
    trans.__(count === 1 ? one : many, count, ...values)
};
