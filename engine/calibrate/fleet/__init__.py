"""From one replica's record to a fleet: a week of arrivals against simulated replicas, beside two quick estimates.

    arrivals ─► router ─► replicas (scheduler, blocks, step model) ─► tally by hour ─► result
                  ▲            ▲                                                         ▲
               overflow    autoscaling, cold starts, spot losses            fluid, Erlang C

Knows no money.
"""
