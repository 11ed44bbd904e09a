import known from './fields.json';

/** Fields of a spec; null where the author chooses the names, or a plain value stands. */
interface IFields {
  [name: string]: IFields | null;
}

/** Fields that begin so are the author's own. */
const OWN_PREFIX = 'x-';

/** Changes of a name that still count as a slip of the finger. */
const SLIPS = 2;

/** A sentence for each field of a job spec that no job has: its path, and the nearest name. */
export function unknownFields(spec: unknown): string[] {
  return judged(spec, known, '');
}

function judged(value: unknown, fields: IFields, path: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => judged(item, fields, `${path}[${index}]`));
  }
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  const names = new Map(Object.keys(fields).map(name => [name.toLowerCase(), name]));
  return Object.entries(value).flatMap(([key, item]) => {
    const name = names.get(key.toLowerCase());
    const place = path && `${path}.`;
    if (name !== undefined) {
      const below = fields[name];
      return below ? judged(item, below, place + name) : [];
    }
    if (key.toLowerCase().startsWith(OWN_PREFIX)) {
      return [];
    }
    const near = nearest(key, [...names.values()]);
    return [`${place}${key.slice(0, 80)}: unknown field${near && `; did you mean ${near}?`}`];
  });
}

function nearest(key: string, names: string[]): string {
  const ranked = names
    .map(name => ({ name, changes: distance(key.slice(0, 80).toLowerCase(), name.toLowerCase()) }))
    .sort((one, other) => one.changes - other.changes)[0];
  return ranked && ranked.changes <= SLIPS ? ranked.name : '';
}

/** How many characters must be added, removed or replaced. */
function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const line = [row];
    for (let column = 1; column <= other.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1);
      line.push(Math.min(replaced, (above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1));
    }
    above = line;
  }
  return above[other.length] ?? 0;
}
