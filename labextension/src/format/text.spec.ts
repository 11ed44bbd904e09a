import { errorOf } from '../api/errors';
import { nodeName } from '../nodes/nodes';
import { title } from '../jobs/actions';
import { IJobEntry } from '../store/state';
import { readable, readableLines } from './text';
import { toYaml } from './yaml';

describe('text as text', () => {
  it.each([
    ['plain name', 'plain name'],
    ['größe ✓ 日本語 שלום 🙂', 'größe ✓ 日本語 שלום 🙂'],
    ['invoice\u202egnp.exe', 'invoice\\u202egnp.exe'],
    ['\u2066a\u2069\u061c\u200e\u200f', '\\u2066a\\u2069\\u061c\\u200e\\u200f'],
    ['a\u200bb\u2060\ufeff', 'a\\u200bb\\u2060\\ufeff'],
    ['\x1b[2J\x9b31m', '\\x1b[2J\\x9b31m'],
    ['a\x00b\x7f', 'a\\x00b\\x7f'],
    ['a\nb\tc\rd\u2028e', 'a\\nb\\tc\\rd\\u2028e'],
    ['\ud800', '\\ud800'],
    ['\u{e0041}', '\\U000e0041']
  ])('spells out what can not be seen in %j', (text, shown) => {
    expect(readable(text)).toBe(shown);
  });

  it('lets a message have lines', () => {
    expect(readableLines('a\n\tb\r\x1b[1m')).toBe('a\n\tb\\r\\x1b[1m');
  });

  it('holds for jobs, nodes, errors and specs', () => {
    const entry = { id: 'j-1', job: { ID: 'j-1', Name: 'pay\u202egnp' } } as unknown as IJobEntry;
    expect(title(entry)).toBe('pay\\u202egnp');
    expect(nodeName({ Info: { NodeID: 'n\u200b' } })).toBe('n\\u200b');
    expect(nodeName({ Info: { NodeID: 'n', Labels: { name: 'a\u202eb' } } })).toBe('a\\u202eb');
    const error = errorOf(404, JSON.stringify({ Message: 'no \u202ejob\nhere', Hint: '\x1b[2J' }));
    expect([error.message, error.hint]).toEqual(['no \\u202ejob\nhere', '\\x1b[2J']);
    const yaml = toYaml({ 'a\u202eb': 'c\u200bd\n', e: '\u{e0041}' });
    expect(readableLines(yaml)).toBe(yaml);
    expect(yaml).toContain('\\u202e');
  });
});
