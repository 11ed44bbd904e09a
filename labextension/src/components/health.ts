import { Health } from '../api/handshake';
import { readableLines } from '../format/text';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** Put the health into words. */
export function explain(health: Health, trans: ITranslate): { what: string; hint: string } | null {
  switch (health.kind) {
    case 'unknown':
    case 'ok':
      return null;
    case 'missing':
      return {
        what: trans.__('The Bacalhau server extension is missing in this Jupyter server.'),
        hint: trans.__(
          'Run "pip install bacalhau-jupyter[server]" in the environment of the Jupyter server, check that "jupyter server extension list" shows bacalhau_jupyter as enabled, and restart the server.'
        )
      };
    case 'mismatch':
      return {
        what: trans.__(
          'This page comes from bacalhau-jupyter %1, the Jupyter server runs %2.',
          health.mine,
          health.status.version || trans.__('an older version')
        ),
        hint: trans.__('Restart the Jupyter server and reload this page, so that both are the same.')
      };
    case 'down':
      return {
        what: readableLines(health.status.problem) || trans.__('The cluster does not answer.'),
        hint: health.status.refused
          ? trans.__(
              'Log in below if the cluster offers it, or save another API key or token: the Cluster tab, Edit.'
            )
          : health.status.cluster
            ? trans.__('Connected to %1.', health.status.cluster.url)
            : ''
      };
    case 'failed':
      return {
        what:
          health.error.kind === 'auth'
            ? trans.__('Jupyter does not let this user see Bacalhau: %1', health.error.message)
            : trans.__('The Jupyter server can’t be reached: %1', health.error.message),
        hint: health.error.kind === 'auth' ? trans.__('Log in again, or ask whoever runs the server.') : ''
      };
  }
}
