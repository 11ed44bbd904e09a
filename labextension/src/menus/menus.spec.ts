import { findOrigin, originOf, pathBelow } from './origin';
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

  it('refuses fields that no job has, and leaves names alone that the author chooses', async () => {
    const refused = (text: string) => expect(readSpec(text, 'a.yaml')).rejects;
    await refused('Tasks: [{InputSource: []}]').toThrow(
      'a.yaml: Tasks[0].InputSource: unknown field; did you mean InputSources?'
    );
    await refused('Tasks: [{engine: {Type: x, Parms: {}}}]').toThrow(
      'Tasks[0].Engine.Parms: unknown field; did you mean Params?'
    );
    await refused('Tasks: []\nFoo: 1\nBar: 2').toThrow('a.yaml: Foo: unknown field\nBar: unknown field');
    const own = 'tasks: [{env: {FOO: a}, engine: {params: {Foo: 1}}}]\nLabels: {a: b}\nx-mine: 1';
    expect(await readSpec(own, 'a.yaml')).toHaveProperty('x-mine');
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
  const parameters = parametersOf(notebook);

  it('are the assignments of the tagged cell', () =>
    expect(parameters).toEqual([
      { name: 'x', text: '1' },
      { name: 'name', text: "'a # b'" }
    ]));

  it('are sent only where they were changed', () => {
    expect(changed(parameters, ['1', "'b'"])).toEqual({ name: 'b' });
    expect(changed(parameters, [' 2 ', ''])).toEqual({ x: 2 });
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

  it('is found in the record where the cluster knows only a name', async () => {
    const job = { ID: 'j', Meta: { 'jupyter.org/session': '0123456789abcdef' } };
    const origin = { notebook: 'n.ipynb', cell: 'c' };
    const ask = jest.fn(() => Promise.resolve(origin));
    expect(await findOrigin(job, ask)).toEqual(origin);
    expect(ask).toHaveBeenCalledWith('j');
    const named = {
      ...job,
      Meta: { ...job.Meta, 'jupyter.org/title': 'n.ipynb [3]', 'jupyter.org/cell': 'c' }
    };
    expect(await findOrigin(named, () => Promise.resolve({ notebook: 'deep/n.ipynb', cell: 'c' }))).toEqual({
      notebook: 'deep/n.ipynb',
      cell: 'c'
    });
    const refuse = (): Promise<never> => Promise.reject(new Error('not here'));
    expect(await findOrigin(named, refuse)).toEqual({ notebook: 'n.ipynb', cell: 'c', isNameOnly: true });
    expect(await findOrigin(job, refuse)).toBeNull();
    expect(await findOrigin({ ID: 'j' }, ask)).toBeNull();
    expect(ask).toHaveBeenCalledTimes(1);
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
