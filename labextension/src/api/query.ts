export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** Write a query with its question mark; nothing for nothing. */
export function encode(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) {
      value.forEach(item => parameters.append(name, String(item)));
    } else if (value !== undefined && value !== '') {
      parameters.append(name, String(value));
    }
  }
  const text = parameters.toString();
  return text ? `?${text}` : '';
}
