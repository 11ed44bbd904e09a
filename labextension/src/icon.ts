import { LabIcon } from '@jupyterlab/ui-components';

/** A fish: bacalhau is dried cod. */
export const bacalhauIcon = new LabIcon({
  name: 'bacalhau-jupyter:icon',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M22 12c-2 4-6 6-10 6-2 0-4-1-6-2l-4 3V5l4 3c2-1 4-2 6-2 4 0 8 2 10 6zm-5-2a1 1 0 1 0 0 2 1 1 0 0 0 0-2z"/>
</svg>`
});
