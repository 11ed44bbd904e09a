import { bodyType } from './colours';

describe('the colours of a cell', () => {
  it.each<[string, string | null]>([
    ['%%bacalhau sql --in t\nselect 1', 'text/x-sql'],
    ['%%bacalhau sql', 'text/x-sql'],
    ['%%bacalhau\nls', 'text/x-sh'],
    ['%%bacalhau --memory 1gb\nls', 'text/x-sh'],
    ['%%bacalhau bash\nls', 'text/x-sh'],
    ['%%bacalhau docker ubuntu\nls', 'text/x-sh'],
    ['%%bacalhau docker ubuntu\n#!/usr/bin/env python3\nprint(1)', null],
    ['%%bacalhau docker ubuntu -- python\nprint(1)', null],
    ['%%bacalhau job\nType: batch', 'text/x-yaml'],
    ['%%bacalhau wasm -e A=1\n(module)', 'text/webassembly'],
    ['%%bacalhau python --out t\nt = 1', null],
    ['%%bacalhau nothing\nt = 1', null],
    ['%%sql\nselect 1', null],
    ['%%bacalhaus sql\nselect 1', null],
    ['select = 1', null]
  ])('of %j are those of its body', (source, type) => expect(bodyType(source)).toBe(type));
});
