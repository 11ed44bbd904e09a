import { bytes, duration, shortId } from './units';
import { toYaml } from './yaml';

describe('units', () => {
  it('says sizes and times as people do', () => {
    expect([0, 999, 1234, 1e6, 2.5e9].map(bytes)).toEqual(['0 B', '999 B', '1.2 kB', '1.0 MB', '2.5 GB']);
    expect([400, 12_000, 185_000, 7_385_000, 273_600_000].map(duration)).toEqual([
      '0.4 s',
      '12 s',
      '3:05',
      '2:03:05',
      '3 d 4 h'
    ]);
    expect(duration(NaN)).toBe('');
  });

  it('shortens ids and leaves names alone', () => {
    expect(shortId('j-761f5690-d9cb-416a-be49-a0a336e0a202')).toBe('j-761f5690');
    expect(shortId('my-job')).toBe('my-job');
  });
});

describe('toYaml', () => {
  it('writes a spec as a person would', () => {
    const spec = {
      Name: 'one',
      Count: 1,
      Labels: { on: 'yes', 'a b': '' },
      Tasks: [
        { Name: 'main', Engine: { Type: 'docker', Params: { Parameters: ['sh', '-c', 'echo 1\necho 2\n'] } } }
      ],
      Empty: []
    };
    expect(toYaml(spec)).toBe(
      [
        'Name: one',
        'Count: 1',
        'Labels:',
        '  "on": "yes"',
        '  a b: ""',
        'Tasks:',
        '- Name: main',
        '  Engine:',
        '    Type: docker',
        '    Params:',
        '      Parameters:',
        '      - sh',
        '      - "-c"',
        '      - |',
        '        echo 1',
        '        echo 2',
        'Empty: []',
        ''
      ].join('\n')
    );
  });

  it.each([
    '1',
    '0x1f',
    '1e3',
    'null',
    '~',
    'true',
    '- a',
    'a: b',
    '#x',
    '*x',
    ' x',
    'x ',
    '2026-01-01',
    '\x1b[0m'
  ])('quotes %j, which would be read as something else', text =>
    expect(toYaml({ k: text })).toBe(`k: ${JSON.stringify(text)}\n`)
  );
});
