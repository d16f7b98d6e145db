"""What every adapter is made of: each room answers one question, and none knows a provider.

A request goes through the rooms in this order:

1. ``requests``: an adapter says what is asked, for whom, and what a lost answer would leave behind.
2. ``login``: whose token goes with it, and what to do when the server doesn't take it;
   ``accounts`` is what it remembers.
3. ``gate``: may it go now, else when: circuit, budget, turns.
4. ``client``: sends it, and says what may have happened when no answer comes (``failures``).
5. ``connections``, ``network``: whom we trust and connect to, and what an answer may cost;
   ``answer_memory`` is what all answers together may take.
6. ``answers``: what came back, as wire models; ``refusals``: by a table, an error of ours;
   ``json_documents`` reads lists row by row; ``lifetimes``: what a ttl may be, and how far a
   renewal goes.

``context`` is what the registry gives, ``adapter`` what an adapter begins with; ``cache`` remembers
what answers said. What a stranger writes beside them: docs/providers/writing-a-provider.md.
"""
