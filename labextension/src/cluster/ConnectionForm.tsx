import * as React from 'react';
import { IConnection, IConnectionInput, IConnectionTest } from '../api/connections';
import { ErrorNote, InputAttributes, TextField } from '../components/basics';
import { useBacalhau } from '../components/context';
import { Connections, EMPTY_INPUT, inputOf, missing } from './connections';

/** Add or change a connection, and try it before. The token goes in and is never shown. */
export function ConnectionForm(props: {
  editing: IConnection | null;
  connections: Connections;
}): JSX.Element {
  const { editing, connections } = props;
  const { trans, api } = useBacalhau();
  const [input, setInput] = React.useState<IConnectionInput>(() =>
    editing ? inputOf(editing) : EMPTY_INPUT
  );
  const [test, setTest] = React.useState<IConnectionTest | 'running' | null>(null);
  const [error, setError] = React.useState<unknown>(null);
  const root = React.useRef<HTMLFormElement>(null);
  const id = React.useId();
  React.useEffect(() => root.current?.querySelector<HTMLElement>('input:not([readonly])')?.focus(), []);

  const taken = editing ? [] : (connections.list.get()?.connections ?? []).map(known => known.name);
  const change = (part: Partial<IConnectionInput>): void => {
    setInput({ ...input, ...part });
    setTest(null);
    setError(null);
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    const lacking = missing(input, taken, trans);
    if (lacking) {
      setError(new Error(lacking));
      return;
    }
    setError(null);
    try {
      await work();
    } catch (reason) {
      setTest(null);
      setError(reason);
    }
  };
  const tryIt = (): Promise<void> =>
    attempt(async () => {
      setTest('running');
      setTest(await api.connections.test(input));
    });
  const text = (
    member: 'name' | 'endpoint' | 'token' | 'description' | 'ca_file',
    label: string,
    rest: InputAttributes = {}
  ): JSX.Element => (
    <TextField
      id={`${id}-${member}`}
      label={label}
      value={input[member]}
      onText={value => change({ [member]: value })}
      {...rest}
    />
  );
  return (
    <form
      ref={root}
      className="jp-Bacalhau-form"
      aria-label={editing ? trans.__('Edit the connection %1', editing.name) : trans.__('Add a connection')}
      onSubmit={event => {
        event.preventDefault();
        void attempt(() => connections.save(input));
      }}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          connections.form.set(null);
        }
      }}
    >
      {text('name', trans.__('Name'), { readOnly: editing !== null })}
      {text('endpoint', trans.__('Address'), { placeholder: 'https://bacalhau.example.org:1234' })}
      {text('token', trans.__('API key or token'), {
        type: 'password',
        autoComplete: 'new-password',
        placeholder: editing?.has_token ? trans.__('saved; leave empty to keep it') : ''
      })}
      {text('description', trans.__('Description'))}
      {text('ca_file', trans.__('Authority (file on this Jupyter server)'), {
        placeholder: trans.__('only for a private certificate')
      })}
      <label className="jp-Bacalhau-check">
        <input
          type="checkbox"
          checked={input.insecure}
          onChange={event => change({ insecure: event.target.checked })}
        />
        {trans.__('Don’t check the certificate')}
      </label>
      <TestResult test={test} />
      {error !== null && <ErrorNote error={error} />}
      <div className="jp-Bacalhau-buttons">
        <button type="submit" className="jp-Bacalhau-button jp-mod-accept">
          {trans.__('Save')}
        </button>
        <button type="button" className="jp-Bacalhau-button" onClick={() => void tryIt()}>
          {trans.__('Test')}
        </button>
        <button type="button" className="jp-Bacalhau-button" onClick={() => connections.form.set(null)}>
          {trans.__('Cancel')}
        </button>
      </div>
    </form>
  );
}

function TestResult(props: { test: IConnectionTest | 'running' | null }): JSX.Element {
  const { trans } = useBacalhau();
  const { test } = props;
  const words = (): string => {
    if (test === null) {
      return '';
    }
    if (test === 'running') {
      return trans.__('Asking the cluster…');
    }
    if (!test.ok) {
      return test.version
        ? trans.__('It answers (Bacalhau %1), but: %2', test.version, test.problem)
        : trans.__('It can’t be used: %1', test.problem);
    }
    return test.nodes === 1
      ? trans.__('It works: Bacalhau %1, 1 node', test.version)
      : trans.__('It works: Bacalhau %1, %2 nodes', test.version, test.nodes ?? '?');
  };
  const failed = test !== null && test !== 'running' && !test.ok;
  return (
    <p className="jp-Bacalhau-test" role="status" data-kind={failed ? 'error' : undefined}>
      {words()}
    </p>
  );
}
