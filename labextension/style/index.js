import './base.css';
import './outputs.css';
import './cluster.css';
import './waiting.css';
