// Exchanges a key, a password, or the token of a one-time link, for a session cookie.
'use strict';

const problem = document.getElementById('problem');

async function logIn(body) {
  const answer = await fetch('login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    credentials: 'same-origin'
  });
  if (answer.ok) {
    location.replace('./');
    return;
  }
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // Something between us answered; the sentence below says enough.
  }
  problem.textContent = told.Message || `The node answered with HTTP ${answer.status}.`;
}

function failed() {
  problem.textContent = 'The node does not answer.';
}

document.getElementById('form').addEventListener('submit', event => {
  event.preventDefault();
  problem.textContent = '';
  const username = document.getElementById('user').value.trim();
  const secret = document.getElementById('key').value;
  logIn(username ? { username, password: secret } : { key: secret }).catch(failed);
});

const token = new URLSearchParams(location.hash.slice(1)).get('token');
if (token) {
  // Out of the address bar and the history before anything else.
  history.replaceState(null, '', location.pathname);
  logIn({ token }).catch(failed);
}
