import * as React from 'react';
import { ILogin, ILoginCode, ILoginMethod } from '../api/login';
import { ErrorNote } from './basics';
import { useBacalhau } from './context';
import { readable } from '../format/text';

/** The login that the connected cluster asks for: its own fields, or a link and a code of its provider. */
export function LoginNote(): JSX.Element {
  const { api, sync, trans } = useBacalhau();
  const [login, setLogin] = React.useState<ILogin | null>(null);
  const [error, setError] = React.useState<unknown>(null);
  const read = React.useCallback(
    (signal?: AbortSignal): void => {
      setError(null);
      api.login.describe(signal).then(setLogin, (reason: unknown) => signal?.aborted || setError(reason));
    },
    [api]
  );
  const done = React.useCallback((): void => void sync.reconnect(), [sync]);
  React.useEffect(() => {
    const leaving = new AbortController();
    read(leaving.signal);
    return () => leaving.abort();
  }, [read]);
  if (error !== null) {
    return <ErrorNote error={error} retry={() => read()} retryLabel={trans.__('Try again')} />;
  }
  if (login === null) {
    return <p className="jp-Bacalhau-hint">{trans.__('Asking how to log in…')}</p>;
  }
  return login.provider ? (
    <ByProvider provider={readable(login.provider)} done={done} />
  ) : (
    <>
      {login.methods.map(method => (
        <ByMethod key={method.name} method={method} url={login.url} done={done} />
      ))}
    </>
  );
}

function ByMethod(props: { method: ILoginMethod; url: string; done: () => void }): JSX.Element {
  const { method, url, done } = props;
  const { api, trans } = useBacalhau();
  const [answers, setAnswers] = React.useState<Record<string, string>>({});
  const [error, setError] = React.useState<unknown>(null);
  const [busy, setBusy] = React.useState(false);
  const id = React.useId();
  const title = trans.__('Log in to %1: %2', url, readable(method.name));
  const send = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      await api.login.answer(method.name, answers);
      done();
    } catch (reason) {
      setError(reason);
    } finally {
      // What was typed is needed no longer, right or wrong.
      setAnswers({});
      setBusy(false);
    }
  };
  return (
    <form
      className="jp-Bacalhau-form"
      aria-label={title}
      onSubmit={event => {
        event.preventDefault();
        void send();
      }}
    >
      <p>{title}</p>
      {method.fields.map((field, index) => (
        <label key={field.name} htmlFor={`${id}-${index}`}>
          {readable(field.name)}
          <input
            id={`${id}-${index}`}
            className="jp-mod-styled"
            type={field.secret ? 'password' : 'text'}
            spellCheck={false}
            autoComplete="off"
            value={answers[field.name] ?? ''}
            onChange={event => setAnswers({ ...answers, [field.name]: event.target.value })}
          />
        </label>
      ))}
      {method.fields.length === 0 && (
        <p className="jp-Bacalhau-hint">{trans.__('With the key pair of this Jupyter server’s user.')}</p>
      )}
      {error !== null && <ErrorNote error={error} />}
      <div className="jp-Bacalhau-buttons">
        <button type="submit" className="jp-Bacalhau-button jp-mod-accept" disabled={busy}>
          {trans.__('Log in')}
        </button>
      </div>
    </form>
  );
}

function ByProvider(props: { provider: string; done: () => void }): JSX.Element {
  const { provider, done } = props;
  const { api, trans } = useBacalhau();
  const [code, setCode] = React.useState<ILoginCode | null>(null);
  const [error, setError] = React.useState<unknown>(null);
  const begin = (): void => {
    setError(null);
    api.login.begin().then(setCode, setError);
  };
  React.useEffect(() => {
    if (code === null) {
      return undefined;
    }
    const leaving = new AbortController();
    const wait = async (): Promise<void> => {
      try {
        while (!(await api.login.isDone(code.id, leaving.signal))) {
          // The server has waited a while already.
        }
        done();
      } catch (reason) {
        if (!leaving.signal.aborted) {
          setError(reason);
          setCode(null);
        }
      }
    };
    void wait();
    return () => leaving.abort();
  }, [api, code, done]);
  if (code === null) {
    return (
      <div className="jp-Bacalhau-form">
        {error !== null && <ErrorNote error={error} />}
        <div className="jp-Bacalhau-buttons">
          <button type="button" className="jp-Bacalhau-button jp-mod-accept" onClick={begin}>
            {trans.__('Log in with %1', provider)}
          </button>
        </div>
      </div>
    );
  }
  const page = code.complete_url || code.url;
  return (
    <div className="jp-Bacalhau-form" role="status" aria-label={trans.__('Log in with %1', provider)}>
      <p>
        {trans.__('Log in on this page:')}{' '}
        <a className="jp-Bacalhau-link" href={page} target="_blank" rel="noopener noreferrer">
          {page}
        </a>
      </p>
      <p>
        {trans.__('Code:')} <code>{readable(code.code)}</code>
      </p>
      <p className="jp-Bacalhau-hint">{trans.__('This goes on when you have confirmed it there.')}</p>
      <div className="jp-Bacalhau-buttons">
        <button
          type="button"
          className="jp-Bacalhau-button"
          onClick={() => {
            void api.login.giveUp(code.id).catch(() => undefined);
            setCode(null);
          }}
        >
          {trans.__('Cancel')}
        </button>
      </div>
    </div>
  );
}
