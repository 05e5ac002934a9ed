"""Native runtimes: the machine's own Python and Node.js, in a bubblewrap sandbox, for operators who offer them."""
