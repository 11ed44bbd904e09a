import * as React from 'react';
import { asApiError } from '../api/errors';
import { IAddHost, IHosts, IHostTest } from '../api/hosts';
import { ErrorNote, TextField } from '../components/basics';
import { useBacalhau } from '../components/context';
import { readable } from '../format/text';
import { choices, EMPTY_HOST, IChoice, IHostInput, orderOf, wantsCertificates } from './form';
import { machineLine } from './hosts';
import { StepList } from './StepList';

/** Add a Docker host: where it is, what it is called, and a test that names what is missing. */
export function HostForm(props: { hosts: IHosts | null; close: () => void; added: () => void }): JSX.Element {
  const { hosts, close, added } = props;
  const { trans, api } = useBacalhau();
  const [input, setInput] = React.useState<IHostInput>(EMPTY_HOST);
  const [test, setTest] = React.useState<IHostTest | null>(null);
  const [busy, setBusy] = React.useState<'' | 'test' | 'add'>('');
  const [error, setError] = React.useState<unknown>(null);
  // Whether the test tells why nothing was added.
  const [isLeft, setIsLeft] = React.useState(false);
  const root = React.useRef<HTMLFormElement>(null);
  const turn = React.useRef(new AbortController());
  const id = React.useId();
  React.useEffect(() => root.current?.querySelector<HTMLElement>('select, input')?.focus(), []);
  React.useEffect(() => () => turn.current.abort(), []);

  const begin = (): AbortSignal => {
    turn.current.abort();
    turn.current = new AbortController();
    setTest(null);
    setError(null);
    setIsLeft(false);
    return turn.current.signal;
  };
  const change = (part: Partial<IHostInput>): void => {
    if (busy === 'add') {
      return;
    }
    // What was tried is not what stands there now: neither its result nor its key may be taken for this.
    begin();
    setBusy('');
    setInput({ ...input, ...part });
  };
  const order = (): IAddHost | null => {
    const { order, problem } = orderOf(input, trans);
    if (problem) {
      setError(new Error(problem));
      return null;
    }
    return order;
  };
  const tryOut = async (): Promise<void> => {
    const signal = begin();
    const wanted = order();
    if (wanted === null) {
      return;
    }
    setBusy('test');
    try {
      const result = await api.hosts.tryOut(wanted, signal);
      if (!signal.aborted) {
        setTest(result);
      }
    } catch (reason) {
      if (!signal.aborted) {
        setError(reason);
      }
    }
    if (!signal.aborted) {
      setBusy('');
    }
  };
  const add = async (more: Pick<IAddHost, 'Trust' | 'Anyway'> = {}): Promise<void> => {
    const signal = begin();
    const wanted = order();
    if (wanted === null) {
      return;
    }
    setBusy('add');
    try {
      await api.hosts.add({ ...wanted, ...more });
      added();
      return;
    } catch (reason) {
      if (signal.aborted) {
        return;
      }
      // The steps say how far one gets, and where the way ends.
      const result = canBeTried(reason) ? await api.hosts.tryOut(wanted, signal).catch(() => null) : null;
      if (signal.aborted) {
        return;
      }
      // Who trusted one key must see that another one came, before it can be trusted.
      const isOtherKey = Boolean(more.Trust && result?.Fingerprint);
      if (result?.Ok === false && !isOtherKey) {
        setTest(result);
        setIsLeft(true);
      } else {
        setError(reason);
      }
    }
    if (!signal.aborted) {
      setBusy('');
    }
  };
  const text = (
    member: 'address' | 'name' | 'labels' | 'certificates',
    label: string,
    placeholder: string
  ): JSX.Element => (
    <TextField
      id={`${id}-${member}`}
      label={label}
      value={input[member]}
      placeholder={placeholder}
      onText={value => change({ [member]: value })}
    />
  );
  const fingerprint = test?.Ok === true ? '' : (test?.Fingerprint ?? '');
  return (
    <form
      ref={root}
      className="jp-Bacalhau-form"
      aria-label={trans.__('Add a Docker host')}
      aria-busy={busy !== ''}
      onSubmit={event => {
        event.preventDefault();
        if (busy !== 'add') {
          void add();
        }
      }}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          close();
        }
      }}
    >
      <Choices hosts={hosts} id={id} value={input.choice} onChange={choice => change({ choice })} />
      {input.choice === '' && text('address', trans.__('Address'), trans.__('alice@gpu1'))}
      {wantsCertificates(input) &&
        text(
          'certificates',
          trans.__('Certificates (directory)'),
          trans.__('with ca.pem, cert.pem, key.pem')
        )}
      {text('name', trans.__('Name'), trans.__('after its address'))}
      {text('labels', trans.__('Labels'), trans.__('room=basement'))}
      <div role="status">
        {busy !== '' && <p className="jp-Bacalhau-test">{trans.__('Trying the way there…')}</p>}
        {test?.Ok === true && (
          <p className="jp-Bacalhau-test">
            {trans.__('It works.')} {machineLine(test.Facts, trans)}
          </p>
        )}
        {test?.Ok === false && (
          <p className="jp-Bacalhau-test">
            {isLeft ? trans.__('It was not added: it can’t be used yet.') : trans.__('It can’t be used yet.')}
          </p>
        )}
        {/* What the hint of an unknown key says stands beside its button. */}
        {test !== null && <StepList steps={test.Steps} withoutHints={fingerprint !== ''} />}
      </div>
      {error !== null && <ErrorNote error={error} />}
      {fingerprint && (
        <UnknownKey
          fingerprint={fingerprint}
          busy={busy !== ''}
          trust={() => void add({ Trust: fingerprint })}
        />
      )}
      <div className="jp-Bacalhau-buttons">
        <button type="submit" className="jp-Bacalhau-button jp-mod-accept" disabled={busy === 'add'}>
          {trans.__('Add')}
        </button>
        <button
          type="button"
          className="jp-Bacalhau-button"
          disabled={busy !== ''}
          onClick={() => void tryOut()}
        >
          {trans.__('Test')}
        </button>
        {test?.Ok === false && !fingerprint && (
          <button
            type="button"
            className="jp-Bacalhau-button"
            disabled={busy !== ''}
            title={trans.__('Keep it, and connect to it as soon as that works')}
            onClick={() => void add({ Anyway: true })}
          >
            {trans.__('Add anyway')}
          </button>
        )}
        <button type="button" className="jp-Bacalhau-button" onClick={close}>
          {trans.__('Cancel')}
        </button>
      </div>
    </form>
  );
}

/** Whether a test may say more: a name that is taken, or a node that is away, has nothing to do with the way. */
function canBeTried(reason: unknown): boolean {
  const { kind, status } = asApiError(reason);
  return kind === 'api' && status !== 409;
}

/** What the node's machine knows already: entries of ssh's configuration, and Docker contexts. */
function Choices(props: {
  hosts: IHosts | null;
  id: string;
  value: string;
  onChange: (value: string) => void;
}): JSX.Element | null {
  const { trans } = useBacalhau();
  const { aliases, contexts } = choices(props.hosts);
  if (aliases.length + contexts.length === 0) {
    return null;
  }
  const group = (label: string, items: readonly IChoice[]): JSX.Element | null =>
    items.length === 0 ? null : (
      <optgroup label={label}>
        {items.map(item => (
          <option key={item.value} value={item.value}>
            {item.label}
          </option>
        ))}
      </optgroup>
    );
  const chosen = [...aliases, ...contexts].find(item => item.value === props.value);
  return (
    <label htmlFor={`${props.id}-choice`}>
      {trans.__('Host')}
      <select
        id={`${props.id}-choice`}
        className="jp-mod-styled"
        aria-label={trans.__('Host')}
        value={props.value}
        title={chosen?.label ?? trans.__('By its address')}
        onChange={event => props.onChange(event.target.value)}
      >
        <option value="">{trans.__('By its address')}</option>
        {group(trans.__('Your ssh configuration'), aliases)}
        {group(trans.__('Docker contexts'), contexts)}
      </select>
    </label>
  );
}

/** A key that nobody has vouched for yet: a person compares it, and this very one is trusted. */
function UnknownKey(props: { fingerprint: string; busy: boolean; trust: () => void }): JSX.Element {
  const { trans } = useBacalhau();
  return (
    <div className="jp-Bacalhau-note" role="group" aria-label={trans.__('Unknown key')}>
      <p>{trans.__('It shows a key that this machine does not know:')}</p>
      <p>
        <code className="jp-Bacalhau-fingerprint">{readable(props.fingerprint)}</code>
      </p>
      <p className="jp-Bacalhau-hint">
        {trans.__(
          'Compare it with the host’s own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there, or ask who runs it. Another key would mean another machine.'
        )}
      </p>
      <button type="button" className="jp-Bacalhau-button" disabled={props.busy} onClick={props.trust}>
        {trans.__('Trust this key')}
      </button>
    </div>
  );
}
