/** What stands in place of a secret; `bacalhau job run` refuses a spec that holds it. */
export const HIDDEN = '***';

const WORD = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g;
const SECRET = new RegExp(
  '^(?:secrets?|passwords?|passwd|passphrase|pass|pwd|pw|tokens?|credentials?|keys?|auth|bearer|jwt|pat|dsn|cookie' +
    '|.*(?:password|passwd|passphrase|secret|token|apikey|accesskey|privatekey|credentials))$'
);
const IN_URL = /([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^\s/?#"'<>]*@/g;

/** Whether a variable of that name probably holds a secret; the rule is that of `lib/masking.py`. */
export function looksSecret(name: string): boolean {
  return name !== 'PWD' && (name.match(WORD) ?? []).some(word => SECRET.test(word.toLowerCase()));
}

/** A variable's value as it may be shown. A value `env:NAME` names a variable of the node. */
export function maskedValue(name: string, value: string): string {
  return value && looksSecret(name) && !value.startsWith('env:')
    ? HIDDEN
    : value.replace(IN_URL, `$1${HIDDEN}@`);
}
