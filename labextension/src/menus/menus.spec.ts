import { originOf, pathBelow } from './origin';
import { changed, parametersOf, typed } from './parameters';
import { isSpecName, readSpec } from './spec';

describe('readSpec', () => {
  it('takes YAML and JSON, bare or below Job', async () => {
    expect(await readSpec('Name: a\nTasks: []', 'a.yaml')).toEqual({ Name: 'a', Tasks: [] });
    expect(await readSpec('{"job": {"tasks": []}}', 'a.json')).toEqual({ tasks: [] });
  });

  it('says where a file is no YAML, and what a spec must have', async () => {
    await expect(readSpec('a: [1', 'a.yaml')).rejects.toThrow(
      /a.yaml is not valid YAML at line \d+, column \d+/
    );
    await expect(readSpec('- 1', 'a.yaml')).rejects.toThrow('must be a mapping');
    await expect(readSpec('a: 1', 'a.yaml')).rejects.toThrow('no Tasks');
  });

  it('is offered for YAML and JSON', () =>
    expect(['a.yml', 'A.YAML', 'b.json', 'c.ipynb', 'yaml'].map(isSpecName)).toEqual([
      true,
      true,
      true,
      false,
      false
    ]));
});

describe('parameters', () => {
  const notebook = {
    cells: [
      { source: 'y = 2', metadata: {} },
      {
        source: ['x = 1  # how many\n', "name: str = 'a # b'\n", 'if x == 1:\n', '  z = 3'],
        metadata: { tags: ['parameters'] }
      }
    ]
  };
  const found = parametersOf(notebook);

  it('are the assignments of the tagged cell', () =>
    expect(found).toEqual([
      { name: 'x', text: '1' },
      { name: 'name', text: "'a # b'" }
    ]));

  it('are sent only where they were changed', () => {
    expect(changed(found, ['1', "'b'"])).toEqual({ name: 'b' });
    expect(changed(found, [' 2 ', ''])).toEqual({ x: 2 });
  });

  it.each([null, {}, { cells: 'x' }, { cells: [null, { metadata: null }] }])('are none in %j', odd =>
    expect(parametersOf(odd)).toEqual([])
  );

  it('are typed as the command line does', () =>
    expect(['1', 'True', 'None', '[1]', "'x'", 'plain'].map(typed)).toEqual([
      1,
      true,
      null,
      [1],
      'x',
      'plain'
    ]));
});

describe('origin', () => {
  it('is read from the metadata', () => {
    const meta = { 'jupyter.org/session': '/home/a/n.ipynb', 'jupyter.org/cell': 'c' };
    expect(originOf({ ID: 'j', Meta: meta })).toEqual({ notebook: '/home/a/n.ipynb', cell: 'c' });
    expect(originOf({ ID: 'j', Meta: { 'jupyter.org/session': 'console-1' } })).toBeNull();
  });

  it.each([
    ['/data/root', '/data/root/x/n.ipynb', 'x/n.ipynb'],
    ['/data/root', '/data/rootless/n.ipynb', null],
    ['~/work', '/home/ana/work/n.ipynb', 'n.ipynb'],
    ['~', '/home/ana/n.ipynb', 'n.ipynb'],
    ['~/work', '/srv/homes/ana/work/n.ipynb', 'n.ipynb'],
    ['~/work', '/srv/n.ipynb', null],
    ['/data', 'x/n.ipynb', 'x/n.ipynb']
  ])('below %s, %s is %s', (root, notebook, path) => expect(pathBelow(root, notebook)).toBe(path));
});
